"""Constants of a graph: the stored ones, and what nodes compute from constants alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

from lipdeploy.core.errors import VerificationError
from lipdeploy.export.verifier.graph import Graph, attributes, label
from lipdeploy.export.verifier.operators import OPERATORS

Constants = dict[str, npt.NDArray[Any]]

FLOATS = (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16)
# Products keep their relative accuracy; sums can cancel, and are refused where they matter.
ARITHMETIC = frozenset({"Mul", "Div", "Neg", "DequantizeLinear", "QuantizeLinear"})
_RANGE = (1e-100, 1e100)
LAYOUT = frozenset(
    {"Constant", "Cast", "Identity", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten"}
    | {"Concat", "Slice"}
)


def folded_constants(graph: Graph) -> Constants:
    """All constants by name, floats in float64.

    Arithmetic is that of real numbers on the stored values: a dequantized weight is exact in
    float64. Arithmetic on integers, which wraps, is left alone and refused where it matters.

    Raises:
        VerificationError: a constant that cannot be computed, named with its node.
    """
    found: Constants = {name: exact(value) for name, value in graph.constants.items()}
    for node in graph.nodes:
        if all(name in found for name in node.input if name) and _foldable(node, found):
            found.update(_folded(node, found))
    return found


def exact(value: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A float of any width as float64, which holds it exactly; anything else as it is."""
    is_float = value.dtype.kind == "f" or "float" in value.dtype.name
    return value.astype(np.float64) if is_float else value


def _foldable(node: onnx.NodeProto, found: Constants) -> bool:
    if node.domain not in ("", "ai.onnx") or len(node.output) != 1:
        return False
    if node.op_type in ("DequantizeLinear", "QuantizeLinear"):
        return True
    if node.op_type == "Cast":
        return _rounds_or_keeps(node, found)
    integers = any(found[name].dtype.kind in "iub" for name in node.input if name)
    return node.op_type in LAYOUT or (node.op_type in ARITHMETIC and not integers)


def _rounds_or_keeps(node: onnx.NodeProto, found: Constants) -> bool:
    """Casts to floats and between integers; a float that becomes an integer is left alone."""
    is_float = found[node.input[0]].dtype.kind == "f"
    return not is_float or attributes(node).get("to") in FLOATS


def _cast(node: onnx.NodeProto, value: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """With the rounding of the narrower type: the engine computes with the rounded weights."""
    return value.astype(helper.tensor_dtype_to_np_dtype(attributes(node)["to"]))


def _folded(node: onnx.NodeProto, found: Constants) -> Constants:
    inputs = [found[name] if name else None for name in node.input]
    try:
        with np.errstate(all="ignore"):
            if node.op_type == "Cast":
                return {node.output[0]: exact(_cast(node, found[node.input[0]]))}
            outputs = OPERATORS[node.op_type](attributes(node), *inputs)
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise VerificationError(f"{label(node)} of constants: {error}") from error
    made = [exact(np.asarray(v)) for v in outputs]
    if node.op_type in ARITHMETIC:
        _require_moderate(node, [v for v in (*inputs, *made) if v is not None])
    return dict(zip(node.output, made, strict=True))


def _require_moderate(node: onnx.NodeProto, values: list[npt.NDArray[Any]]) -> None:
    """Floats whose products neither vanish nor overflow: a weight that became 0 would be a lie."""
    for value in values:
        size = np.abs(value) if value.dtype.kind == "f" else np.zeros(1)
        if not ((size == 0) | ((size >= _RANGE[0]) & (size <= _RANGE[1]))).all():
            raise VerificationError(f"{label(node)} of constants: a value is beyond float64")
