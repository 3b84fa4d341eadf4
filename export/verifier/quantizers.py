"""Quantization of activations: a QuantizeLinear and its DequantizeLinear nodes as one clip.

The real-arithmetic function keeps the clips and leaves out the rounding, whose error is measured
as part of D. Between the same steps on both sides, quantizing and dequantizing is then

    x -> clip(x, scale * (least integer - zero), scale * (largest integer - zero)),

of slope at most 1. Were one scale larger than the other, the slope would be their ratio; were the
integers used elsewhere, they would have another meaning there. Both are refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper

from lipdeploy.core.errors import VerificationError
from lipdeploy.export.verifier.constants import FLOATS, Constants
from lipdeploy.export.verifier.graph import Graph, attributes, label
from lipdeploy.export.verifier.operators.quantization import QUANTIZED, Grid, grid

Array = npt.NDArray[np.float64]
_STANDARD = ("", "ai.onnx")


@dataclass(frozen=True)
class Quantizer:
    """One quantized activation.

    Attributes:
        node: the QuantizeLinear.
        readers: the DequantizeLinear nodes that read its output, all that do.
        steps: their common grid.
    """

    node: onnx.NodeProto
    readers: tuple[onnx.NodeProto, ...]
    steps: Grid

    def clipped(self, x: Array) -> Array:
        """What quantizing and dequantizing does in real arithmetic."""
        return np.asarray(np.clip(x, *self.steps.limits))


def activation_quantizers(graph: Graph, constants: Constants) -> tuple[Quantizer, ...]:
    """Every quantizer of a graph that does not act on constants, in graph order.

    Raises:
        VerificationError: a QuantizeLinear or DequantizeLinear that is not one half of a clip,
            named, with what is wrong about it.
    """
    users = _users(graph)
    moving = [node for node in _of_kind(graph, "QuantizeLinear") if node.output[0] not in constants]
    found = tuple(_quantizer(graph, constants, node, users) for node in moving)
    paired = {id(reader) for each in found for reader in each.readers}
    for node in _of_kind(graph, "DequantizeLinear"):
        if node.output[0] not in constants and id(node) not in paired:
            _refuse_alone(node, constants)
    return found


def weight_dequantizers(graph: Graph, constants: Constants) -> list[onnx.NodeProto]:
    """Nodes that make weights of stored integers."""
    return [node for node in _of_kind(graph, "DequantizeLinear") if node.output[0] in constants]


def _of_kind(graph: Graph, kind: str) -> list[onnx.NodeProto]:
    return [n for n in graph.nodes if n.op_type == kind and n.domain in _STANDARD]


def _users(graph: Graph) -> dict[str, list[onnx.NodeProto]]:
    users: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.nodes:
        for name in set(node.input):
            users.setdefault(name, []).append(node)
    return users


def _quantizer(
    graph: Graph,
    constants: Constants,
    node: onnx.NodeProto,
    users: Mapping[str, Sequence[onnx.NodeProto]],
) -> Quantizer:
    tensor = node.output[0]
    if graph.dtype(node.input[0]) not in FLOATS:
        raise VerificationError(f"{label(node)}: {node.input[0]!r} does not hold floats")
    if tensor in {output.name for output in graph.model.graph.output}:
        raise VerificationError(f"{label(node)}: the quantized {tensor!r} is an output of the file")
    readers = tuple(users.get(tensor, ()))
    steps = _steps(graph, constants, node, tensor)
    for reader in readers:
        _require_same_steps(graph, constants, Quantizer(node, (reader,), steps))
    return Quantizer(node, readers, steps)


def _require_same_steps(graph: Graph, constants: Constants, pair: Quantizer) -> None:
    """The reader turns the integers back into the values that they stand for."""
    (reader,), tensor = pair.readers, pair.node.output[0]
    is_first = reader.op_type == "DequantizeLinear" and list(reader.input).index(tensor) == 0
    if not is_first or list(reader.input).count(tensor) != 1 or reader.domain not in _STANDARD:
        raise VerificationError(
            f"{label(reader)} uses the quantized tensor {tensor!r}; only DequantizeLinear with the "
            f"steps of {label(pair.node)} may"
        )
    theirs = _steps(graph, constants, reader, tensor)
    if not theirs.is_same(pair.steps):
        raise VerificationError(
            f"{label(reader)} has other steps than {label(pair.node)}: {_told(theirs)} in place of "
            f"{_told(pair.steps)}; the pair would not be a clip"
        )


def _told(steps: Grid) -> str:
    scales, zeros = steps.scale.ravel(), steps.zero.ravel()
    more = f" and {scales.size - 1} more in shape {steps.scale.shape}" if scales.size > 1 else ""
    return f"scale {scales[0]:.9g}, zero point {zeros[0]:.0f}{more} ({steps.kind})"


def _steps(graph: Graph, constants: Constants, node: onnx.NodeProto, tensor: str) -> Grid:
    """Grid of a node that reads or writes the quantized tensor."""
    kind = np.dtype(helper.tensor_dtype_to_np_dtype(graph.dtype(tensor)))
    if kind not in QUANTIZED:
        raise VerificationError(f"{label(node)}: quantization to {kind} is not known")
    values = [_constant(node, index, constants) for index in (1, 2)]
    try:
        return grid(attributes(node), graph.shape(tensor), kind, *values)
    except (ValueError, TypeError) as error:
        raise VerificationError(f"{label(node)}: {error}") from error


def _constant(node: onnx.NodeProto, index: int, constants: Constants) -> npt.NDArray[Any] | None:
    name = node.input[index] if index < len(node.input) else ""
    if name and name not in constants:
        raise VerificationError(
            f"{label(node)}: {'scale' if index == 1 else 'zero point'} {name!r} must be a constant "
            "of the file"
        )
    return constants[name] if name else None


def _refuse_alone(node: onnx.NodeProto, constants: Constants) -> None:
    """A DequantizeLinear of an activation that no QuantizeLinear made."""
    for index in (1, 2):
        _constant(node, index, constants)
    raise VerificationError(
        f"{label(node)} reads {node.input[0]!r}, which is neither stored nor the output of a "
        "QuantizeLinear"
    )
