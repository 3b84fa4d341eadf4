"""What the rounding of one node can change in its output, given the inputs as they were executed.

    |error| <= a S + c |y| + step + tiny        elementwise

y is the exact output and S the output of the same operator on absolute values. Quantized
activations are in `clip_losses.py`. Operators that
choose or move elements are exact, but for flushing to zero. The operators themselves, their
attributes and constants were checked by the backward walk; one without a rule here is refused.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import onnx
from onnx import TensorProto

from lipdeploy.core.errors import VerificationError
from lipdeploy.core.operator_norm import convolution_norm_bound, matrix_norm_bound
from lipdeploy.export.verifier.axes import positive
from lipdeploy.export.verifier.constants import FLOATS, LAYOUT
from lipdeploy.export.verifier.graph import attributes, label
from lipdeploy.export.verifier.operators import OPERATORS
from lipdeploy.export.verifier.rounding.arithmetic import FLOAT64, Arithmetic
from lipdeploy.export.verifier.rounding.clip_losses import clip_loss
from lipdeploy.export.verifier.rounding.loss import Array, Inputs, Loss
from lipdeploy.export.verifier.rounding.tails import Tails
from lipdeploy.export.verifier.rules.linear import groups_of
from lipdeploy.export.verifier.rules.walk import Walk


def loss_of(tails: Tails, node: onnx.NodeProto, arithmetic: Arithmetic) -> Loss:
    """The loss of a node; nothing at all where elements only move.

    Raises:
        VerificationError: an operator or constant whose rounding is not known, named.
    """
    if node.op_type in _MOVES:
        return Loss()
    if id(node) in tails.clips:
        return clip_loss(tails, node, arithmetic)
    if node.op_type in _CHOOSES:
        return Loss(tiny=2 * arithmetic.tiny)
    rule = _RULES.get(node.op_type)
    if rule is None or node.domain not in ("", "ai.onnx"):
        known = ", ".join(sorted((*_MOVES, *_CHOOSES, *_RULES)))
        raise VerificationError(f"{label(node)}: its rounding has no bound; known: {known}")
    for name in node.input:
        if name in tails.file.constants:
            _check_constant(tails, node, name, arithmetic)
    try:
        return rule(tails, node, arithmetic)
    except ValueError as error:
        raise VerificationError(f"{label(node)}: {error}") from error


def _check_constant(tails: Tails, node: onnx.NodeProto, name: str, arithmetic: Arithmetic) -> None:
    """A coefficient that may be flushed to zero, or is itself the end of a long computation.

    One that is folded into another must not leave the normal numbers: a kernel's values stay above
    `SMALLEST`, two scales above 2^-20 each. A bias that is flushed loses no more than `tiny`.
    """
    value, scales = tails.file.constants[name], node.op_type in ("Mul", "Div")
    least, most = (2.0**-20, 2.0**20) if scales else (SMALLEST, arithmetic.largest)
    is_weight = value.dtype.kind == "f" and name not in node.input[2:]
    size = np.abs(value) if is_weight and node.op_type in _WEIGHTED else np.zeros(1)
    if ((size > 0) & (size < least)).any() or not (size <= most).all():
        limits = f"{least:.3g} to {most:.3g}"
        raise VerificationError(f"{label(node)}: {name!r} holds values beyond {limits}")
    made = [n for n in tails.graph.ancestors(name) if n.op_type not in LAYOUT]
    if len(made) > _MADE_BY:
        raise VerificationError(f"{label(node)}: {name!r} is computed by {len(made)} nodes")


def _linear(norm: Callable[[Tails, onnx.NodeProto], tuple[float, int]]) -> _Rule:
    """A rule for sums of products with constants, from norm of absolute values and terms a sum."""

    def rule(tails: Tails, node: onnx.NodeProto, arithmetic: Arithmetic) -> Loss:
        bound, terms = norm(tails, node)
        a, c = arithmetic.sum_factors(terms)
        coefficients = [tails.file.constants[n] for n in node.input if n in tails.file.constants]
        heaviest = sum(float(np.abs(v).sum()) for v in coefficients if v.dtype.kind == "f")
        tiny = arithmetic.tiny * (2 * terms + 16 + 2 * heaviest)
        moving = tuple((name, bound) for name in tails.file.moving(node))
        return Loss(moving, a, c, tiny, _absolute(node))

    return rule


def _absolute(node: onnx.NodeProto) -> Callable[[Inputs], Array]:
    found = attributes(node)
    found |= {key: abs(found[key]) for key in ("alpha", "beta") if key in found}

    def absolute(inputs: Inputs) -> Array:
        sizes = [None if v is None else np.abs(v) if v.dtype.kind == "f" else v for v in inputs]
        return np.asarray(OPERATORS[node.op_type](found, *sizes)[0], np.float64)

    return absolute


def _convolution(tails: Tails, node: onnx.NodeProto) -> tuple[float, int]:
    kernel = np.abs(np.asarray(tails.file.constants[node.input[1]], np.float64))
    found = attributes(node)
    (sh, sw), (dh, dw) = positive(found, "strides", 2), positive(found, "dilations", 2)
    bound = convolution_norm_bound(kernel, (sh, sw), (dh, dw), groups_of(node))
    if node.op_type == "Conv":
        return bound, int((kernel != 0).reshape(len(kernel), -1).sum(1).max()) + 1
    per_group = len(kernel) // groups_of(node)
    return bound, per_group * int(np.prod(kernel.shape[2:])) + 1


def _product(tails: Tails, node: onnx.NodeProto) -> tuple[float, int]:
    index = 1 if node.input[1] in tails.file.constants else 0
    matrix = np.abs(np.asarray(tails.file.constants[node.input[index]], np.float64))
    scale = abs(float(attributes(node).get("alpha", 1.0)))
    return scale * matrix_norm_bound(matrix), max(matrix.shape) + 1


def _mean(tails: Tails, node: onnx.NodeProto) -> tuple[float, int]:
    """All entries are non-negative, so the operator is its own absolute value."""
    walk = Walk(tails.file, [node], records=False)
    walk.add(node.output[0], np.ones((1,) * len(tails.graph.shape(node.output[0]))))
    before, after = (tails.graph.shape(n) for n in (node.input[0], node.output[0]))
    found = attributes(node)
    window = found.get("kernel_shape")
    terms = math.prod(window) if window else math.prod(before) // max(1, math.prod(after))
    return float(walk.run()[node.input[0]].max()), terms


def _sum(tails: Tails, node: onnx.NodeProto, arithmetic: Arithmetic) -> Loss:
    """A sum may be computed inside the convolution before it: then it has all of its terms."""
    terms = sum(_terms_behind(tails, name) for name in node.input)
    a, c = arithmetic.sum_factors(terms)

    def absolute(inputs: Inputs) -> Array:
        total = np.abs(inputs[0])
        for other in inputs[1:]:
            total = total + np.abs(other)
        return np.asarray(total)

    return Loss(_broadcast(tails, node, 1.0), a, c, 16 * arithmetic.tiny, absolute)


# With a constant, an engine may fold them into the convolution before: what follows then has its
# terms. The constant itself is among the spare additions of `sum_factors`.
_FOLDED = ("Mul", "Div", "Identity", "Add", "Sub", "Sum")


def _terms_behind(tails: Tails, name: str) -> int:
    node = tails.graph.producer.get(name)
    while node is not None and node.op_type in _FOLDED and len(tails.file.moving(node)) == 1:
        (name,) = tails.file.moving(node)
        node = tails.graph.producer.get(name)
    if node is None or node.op_type not in _LINEAR or tails.file.is_constant(node):
        return 1
    return _LINEAR[node.op_type](tails, node)[1] + 1


def _scaled(tails: Tails, node: onnx.NodeProto, arithmetic: Arithmetic) -> Loss:
    """A product or quotient with a constant, which may have been folded from others."""
    index = 1 if node.input[1] in tails.file.constants else 0
    factor = np.abs(np.asarray(tails.file.constants[node.input[index]], np.float64))
    divides = node.op_type == "Div"
    largest = 1.0 / float(factor.min()) if divides else float(factor.max())
    loss = 2 * arithmetic.sum_factors(0)[0]
    tiny = arithmetic.tiny * (4 + 2 * largest)

    def absolute(inputs: Inputs) -> Array:
        sizes = np.abs(inputs[0]), np.abs(inputs[1])
        return np.asarray(sizes[0] / sizes[1] if divides else sizes[0] * sizes[1])

    return Loss(_broadcast(tails, node, largest), loss, 0.0, tiny, absolute)


def _broadcast(tails: Tails, node: onnx.NodeProto, factor: float) -> tuple[tuple[str, float], ...]:
    """Inputs that move; one that is copied n times counts sqrt(n)."""
    size = math.prod(tails.graph.shape(node.output[0]))
    return tuple(
        (name, factor * math.sqrt(size / math.prod(tails.graph.shape(name))))
        for name in tails.file.moving(node)
    )


def _cast(tails: Tails, node: onnx.NodeProto, arithmetic: Arithmetic) -> Loss:
    """Of bytes, and of float32 to itself: exact."""
    before, after = tails.graph.dtype(node.input[0]), int(attributes(node)["to"])
    if arithmetic == FLOAT64 and before in (*FLOATS, TensorProto.UINT8) and after in FLOATS:
        return Loss()  # real arithmetic does not know them, and the replay leaves them out
    whole = (TensorProto.UINT8, TensorProto.INT16, TensorProto.UINT16, TensorProto.INT32)
    kept = before == after or before == TensorProto.UINT8
    if not kept or after not in (TensorProto.FLOAT, *whole):
        raise ValueError("its rounding has no bound; expected a cast of bytes or to the same type")
    return Loss()


_Rule = Callable[[Tails, onnx.NodeProto, Arithmetic], Loss]

SMALLEST = 2.0**-80
_MADE_BY = 2  # nodes that compute a coefficient, a rounding each; see FACTOR_ROUNDINGS
_MOVES = frozenset(
    [
        "Concat",
        "DepthToSpace",
        "Dropout",
        "Expand",
        "Flatten",
        "Identity",
        "Pad",
        "Reshape",
        "Slice",
        "SpaceToDepth",
        "Split",
        "Squeeze",
        "Transpose",
        "Unsqueeze",
    ]
)
_CHOOSES = frozenset(["Abs", "Clip", "GlobalMaxPool", "Max", "MaxPool", "Min", "Neg", "Relu"])
_LINEAR: dict[str, Callable[[Tails, onnx.NodeProto], tuple[float, int]]] = {
    "AveragePool": _mean,
    "Conv": _convolution,
    "ConvTranspose": _convolution,
    "Gemm": _product,
    "GlobalAveragePool": _mean,
    "MatMul": _product,
    "ReduceMean": _mean,
}
_WEIGHTED = (*_LINEAR, "Mul", "Div")
_RULES: dict[str, _Rule] = {
    **{name: _linear(norm) for name, norm in _LINEAR.items()},
    "Add": _sum,
    "Cast": _cast,
    "Div": _scaled,
    "Mul": _scaled,
    "Sub": _sum,
    "Sum": _sum,
}
