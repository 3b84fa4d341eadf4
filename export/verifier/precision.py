"""What a file computes in: found in its graph, never believed from its metadata.

`fp16` wherever there is a float16, `int8` or `int16` by the quantized activations, `int8-weights`
where only weights are stored as integers, `float32` otherwise. What none of these names is refused.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper

from lipdeploy.core.errors import VerificationError
from lipdeploy.core.manifest import Manifest
from lipdeploy.export.opset import OPSET
from lipdeploy.export.verifier.constants import Constants, folded_constants
from lipdeploy.export.verifier.graph import Graph, label
from lipdeploy.export.verifier.quantizers import activation_quantizers, weight_dequantizers

PRECISIONS = ("float32", "fp16", "int8-weights", "int8", "int16")
INT16_OPSET = 21  # the first in which QuantizeLinear writes int16

_ACTIVATIONS = {np.dtype(np.int8): "int8", np.dtype(np.int16): "int16"}
_INTEGERS = (
    *(TensorProto.BOOL, TensorProto.UINT8, TensorProto.INT8, TensorProto.INT16),
    *(TensorProto.INT32, TensorProto.INT64),
)
_COMPUTED = frozenset({TensorProto.FLOAT, TensorProto.FLOAT16, *_INTEGERS})
_STORED = _COMPUTED | {TensorProto.DOUBLE}  # folded, and rounded by the cast that uses it


@dataclass(frozen=True)
class Contents:
    """Precision of a graph, and how much of it is quantized.

    Attributes:
        precision: one of `PRECISIONS`.
        activations: quantizers of activations.
        weights: weights stored as integers.
    """

    precision: str
    activations: int
    weights: int

    def __str__(self) -> str:
        """One line for people."""
        if not self.activations + self.weights:
            return f"{self.precision}, nothing quantized"
        return (
            f"{self.precision}, {self.activations} quantizers of activations, "
            f"{self.weights} quantized weights"
        )


def opset_of(precision: str) -> int:
    """The one opset of files of a precision."""
    return INT16_OPSET if precision == "int16" else OPSET


def precision_of(graph: Graph) -> str:
    """Precision of a graph, one of `PRECISIONS`; raises what `contents_of` raises."""
    return contents_of(graph).precision


def contents_of(graph: Graph) -> Contents:
    """What a graph computes in, from all of its tensors.

    Raises:
        VerificationError: a number format or a mixture that no precision names, or a quantizer
            that is not a clip.
    """
    constants = folded_constants(graph)
    half = _has_half(graph)
    quantizers = activation_quantizers(graph, constants)
    dequantizers = weight_dequantizers(graph, constants)
    for node in dequantizers:
        _require_int8(graph, constants, node)
    kinds = {quantizer.steps.kind for quantizer in quantizers}
    unknown = sorted(str(kind) for kind in kinds - _ACTIVATIONS.keys())
    if unknown or len(kinds) > 1 or (half and (quantizers or dequantizers)):
        held = sorted(map(str, kinds)) + ["float16"] * half
        raise VerificationError(
            f"activations of {', '.join(held)} beside {len(dequantizers)} quantized weights: "
            f"expected one of the precisions {', '.join(PRECISIONS)}"
        )
    precision = "int8-weights" if dequantizers else "fp16" if half else "float32"
    for kind in kinds:
        precision = _ACTIVATIONS[kind]
    return Contents(precision, len(quantizers), len(dequantizers))


def check_precision(graph: Graph, manifest: Manifest) -> Contents:
    """The metadata must name the precision that the graph has.

    Raises:
        VerificationError: it does not; or as for `contents_of`.
    """
    found, declared = contents_of(graph), manifest.numerics.precision
    if declared != found.precision:
        raise VerificationError(
            f"the metadata says precision {declared!r}, the graph is {found.precision!r} "
            f"({found}); calibrate or export it again"
        )
    return found


def _has_half(graph: Graph) -> bool:
    """Whether there is a float16; every format is looked at."""
    kinds: set[int] = set()
    for name, value in graph.constants.items():
        kind = helper.np_dtype_to_tensor_dtype(value.dtype)
        _require_known(kind, _STORED, f"{name!r} stores")
        kinds.add(kind)
    for node in graph.nodes:
        allowed = _STORED if node.op_type == "Constant" else _COMPUTED
        for name in filter(None, node.output):
            _require_known(graph.dtype(name), allowed, f"{label(node)} computes")
            kinds.add(graph.dtype(name))
    return TensorProto.FLOAT16 in kinds


def _require_known(kind: int, allowed: frozenset[int], who: str) -> None:
    if kind not in allowed:
        name = TensorProto.DataType.Name(kind).lower()
        raise VerificationError(
            f"{who} {name}, which no precision has; expected one of {', '.join(PRECISIONS)}"
        )


def _require_int8(graph: Graph, constants: Constants, node: onnx.NodeProto) -> None:
    kind = constants[node.input[0]].dtype
    if kind != np.int8:
        raise VerificationError(
            f"{label(node)}: the stored {node.input[0]!r} holds {kind}; expected weights in int8 "
            "and biases in float32"
        )
