"""Quantized activations: QuantizeLinear and DequantizeLinear in front of every convolution.

Explicit, symmetric, per tensor, zero point 0, bias in float32: the form that TensorRT, ONNX Runtime
and OpenVINO all take. f keeps the clip at the ends of the range; only the rounding between is left
for the slack D.

The image is not rounded: bytes minus 128 are INT8 as they are (scale 1), bytes minus 127.5 are
INT16 (scale 1/2). The half grey level that INT8 shifts goes into the bias of the first convolution,
exactly but for the padding at the border, which becomes grey level 128.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from lipdeploy.export.verifier.constants import folded_constants
from lipdeploy.export.verifier.graph import Graph
from lipdeploy.export.verifier.rules.file import byte_tensors

CENTRE, INTEGER_CENTRE = 127.5, 128.0
CONVOLUTIONS = ("Conv", "ConvTranspose")

Append = Callable[[onnx.ModelProto, str, np.float32, "Grid"], None]
"""Adds the nodes that follow a tensor: model, tensor, scale, integers."""


@dataclass(frozen=True)
class Grid:
    """The integers that activations are rounded to.

    Attributes:
        dtype: int8 or int16.
        opset: the first one whose QuantizeLinear knows the type.
    """

    dtype: type[np.signedinteger]
    opset: int

    @property
    def largest(self) -> int:
        """The last integer on the positive side; one more on the negative side."""
        return int(np.iinfo(self.dtype).max)


INT8, INT16 = Grid(np.int8, 18), Grid(np.int16, 21)


def activation_tensors(trunk: onnx.ModelProto) -> list[str]:
    """Inputs of convolutions that are not bytes of the image, each once, in graph order."""
    bytes_ = byte_tensors(Graph(trunk), "image")
    inputs = (node.input[0] for node in trunk.graph.node if node.op_type in CONVOLUTIONS)
    return [name for name in dict.fromkeys(inputs) if name not in bytes_]


def quantized_activations(
    trunk: onnx.ModelProto, limits: Mapping[str, float], grid: Grid
) -> onnx.ModelProto:
    """The trunk with a pair of nodes behind each of these tensors, for its convolutions alone.

    Args:
        trunk: with kernels of any form.
        limits: largest value of each tensor that is represented, above 0.
        grid: the integers.
    """
    return _with_nodes(trunk, limits, grid, _append_pair)


def clipped_activations(
    trunk: onnx.ModelProto, limits: Mapping[str, float], grid: Grid
) -> onnx.ModelProto:
    """What `quantized_activations` is in real arithmetic: clips in place of the pairs."""
    return _with_nodes(trunk, limits, grid, _append_clip)


def _with_nodes(
    trunk: onnx.ModelProto, limits: Mapping[str, float], grid: Grid, append: Append
) -> onnx.ModelProto:
    model = onnx.ModelProto()
    model.CopyFrom(trunk)
    scales = {name: limit / grid.largest for name, limit in limits.items()}
    scales |= _image_scales(model, grid)
    model.opset_import[0].version = max(model.opset_import[0].version, grid.opset)
    nodes = list(model.graph.node)
    for node in nodes:
        if node.op_type in CONVOLUTIONS and node.input[0] in scales:
            node.input[0] = _name(node.input[0], grid)
    del model.graph.node[:]
    for node in nodes:
        model.graph.node.append(node)
        for name in node.output:
            if name in scales:
                append(model, name, np.float32(scales[name]), grid)
    return model


def _append_clip(model: onnx.ModelProto, name: str, scale: np.float32, grid: Grid) -> None:
    ends = {f"{name}_low": -(grid.largest + 1), f"{name}_high": grid.largest}
    for end, integer in ends.items():
        _store(model, end, np.asarray(float(scale) * integer))
    clip = helper.make_node("Clip", [name, *ends], [_name(name, grid)], f"clip_{name}")
    model.graph.node.append(clip)


def _append_pair(model: onnx.ModelProto, name: str, scale: np.float32, grid: Grid) -> None:
    step, zero, integers = f"{name}_scale", f"{name}_zero", f"{name}_{grid.dtype.__name__}"
    model.graph.initializer.append(numpy_helper.from_array(np.asarray(scale, np.float32), step))
    model.graph.initializer.append(numpy_helper.from_array(np.asarray(0, grid.dtype), zero))
    model.graph.node.extend(
        [
            helper.make_node("QuantizeLinear", [name, step, zero], [integers], f"quantize_{name}"),
            helper.make_node(
                "DequantizeLinear",
                [integers, step, zero],
                [_name(name, grid)],
                f"dequantize_{name}",
            ),
        ]
    )


def _name(tensor: str, grid: Grid) -> str:
    return f"{tensor}_from_{grid.dtype.__name__}"


def _image_scales(model: onnx.ModelProto, grid: Grid) -> dict[str, float]:
    """Scales that hold the centred bytes exactly; none where the trunk does not centre them so."""
    found = {}
    for node in model.graph.node:
        if node.op_type == "Sub" and _only_feeds_convolutions(model, node.output[0]):
            if not _is_byte_centring(model, node):
                continue
            if grid is INT8:
                _centre_on_an_integer(model, node)
            found[node.output[0]] = 1.0 if grid is INT8 else 0.5
    return found


def _is_byte_centring(model: onnx.ModelProto, node: onnx.NodeProto) -> bool:
    shift = _stored(model, node.input[1])
    is_bytes = node.input[0] in byte_tensors(Graph(model), "image")
    return is_bytes and shift is not None and bool((shift == CENTRE).all())


def _only_feeds_convolutions(model: onnx.ModelProto, tensor: str) -> bool:
    users = [node for node in model.graph.node if tensor in node.input]
    return bool(users) and all(u.op_type == "Conv" and u.input[0] == tensor for u in users)


def _centre_on_an_integer(model: onnx.ModelProto, node: onnx.NodeProto) -> None:
    """Subtract 128 in place of 127.5; the convolutions behind add their kernel times 1/2."""
    constants = folded_constants(Graph(model))
    shape = constants[node.input[1]].shape
    for user in [n for n in model.graph.node if node.output[0] in n.input]:
        kernel = np.asarray(constants[user.input[1]], np.float64)
        has_bias = len(user.input) > 2 and user.input[2]
        bias = np.asarray(constants[user.input[2]]) if has_bias else np.zeros(len(kernel))
        moved = bias + (INTEGER_CENTRE - CENTRE) * kernel.sum((1, 2, 3))
        user.input[2:] = [_store(model, f"{user.input[1]}_bias_of_128", moved)]
    node.input[1] = _store(model, "centre_of_bytes", np.full(shape, INTEGER_CENTRE))
    _drop_unused(model)


def _stored(model: onnx.ModelProto, name: str) -> npt.NDArray[np.float64] | None:
    tensors = [t for t in model.graph.initializer if t.name == name]
    return numpy_helper.to_array(tensors[0]).astype(np.float64) if tensors else None


def _store(model: onnx.ModelProto, name: str, values: npt.NDArray[np.float64]) -> str:
    model.graph.initializer.append(numpy_helper.from_array(values.astype(np.float32), name))
    return name


def _drop_unused(model: onnx.ModelProto) -> None:
    used = {name for node in model.graph.node for name in node.input}
    kept = [t for t in model.graph.initializer if t.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
