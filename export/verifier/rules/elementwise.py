"""Operators on single elements: the largest slope of each is its factor."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto

from lipdeploy.core.errors import VerificationError
from lipdeploy.export.verifier.axes import finite
from lipdeploy.export.verifier.constants import FLOATS
from lipdeploy.export.verifier.graph import attributes, label
from lipdeploy.export.verifier.rules.walk import Rule, Walk, factors
from lipdeploy.export.verifier.rules.weights import compressed, unbroadcast

_WIDER_THAN_BYTES = (
    TensorProto.INT16,
    TensorProto.INT32,
    TensorProto.INT64,
    TensorProto.UINT8,
    TensorProto.UINT16,
    TensorProto.UINT32,
    TensorProto.UINT64,
)


def pass_through(walk: Walk, node: onnx.NodeProto) -> None:
    """An element of the output depends on that of the input with slope at most 1."""
    walk.add(node.input[0], walk.take(node.output[0]))


def _slope(largest: Callable[[dict[str, object]], float]) -> Callable[[Walk, onnx.NodeProto], None]:
    """A rule for a slope that depends on the attributes."""

    def rule(walk: Walk, node: onnx.NodeProto) -> None:
        factor = factors(node, largest(attributes(node)))
        walk.add(node.input[0], walk.take(node.output[0]) * factor)

    return rule


def _leaky(found: dict[str, object]) -> float:
    return max(1.0, abs(finite(found, "alpha", 0.01)))


def _elu(found: dict[str, object]) -> float:
    return max(1.0, abs(finite(found, "alpha", 1.0)))


def _selu(found: dict[str, object]) -> float:
    alpha = finite(found, "alpha", 1.67326319217681884765625)
    return abs(finite(found, "gamma", 1.05070102214813232421875)) * max(1.0, abs(alpha))


def _hard_sigmoid(found: dict[str, object]) -> float:
    finite(found, "beta", 0.5)
    return abs(finite(found, "alpha", 0.2))


def _prelu(walk: Walk, node: onnx.NodeProto) -> None:
    slope = np.maximum(1.0, factors(node, walk.constant(node, 1)))
    scaled_back(walk, node, node.input[0], slope)


def _clip(walk: Walk, node: onnx.NodeProto) -> None:
    """Constant limits; limits that move would need a rule of their own."""
    for index in (1, 2):
        walk.optional(node, index)
    pass_through(walk, node)


def _dropout(walk: Walk, node: onnx.NodeProto) -> None:
    """Inference: the identity; the mask is not defined by the input."""
    training = walk.optional(node, 2)
    if (training is not None and np.any(training)) or "".join(node.output[1:]):
        raise VerificationError(f"{label(node)}: only inference, without the mask, is known")
    walk.optional(node, 1)
    pass_through(walk, node)


def scaled_back(
    walk: Walk, node: onnx.NodeProto, tensor: str, slopes: npt.NDArray[np.float64]
) -> None:
    """Weights of a tensor that is multiplied by slopes, each broadcast to the other."""
    shape = walk.shape(node.output[0])
    weights = walk.take(node.output[0]) * factors(node, slopes)
    walk.add(tensor, unbroadcast(compressed(weights), shape, walk.shape(tensor)))


def _mul(walk: Walk, node: onnx.NodeProto) -> None:
    moving = walk.file.moving(node)
    if len(moving) != 1:
        raise VerificationError(f"{label(node)}: only a product with a constant is known")
    scaled_back(walk, node, moving[0], walk.constant(node, 1 if node.input[0] == moving[0] else 0))


def _div(walk: Walk, node: onnx.NodeProto) -> None:
    if walk.file.moving(node) != [node.input[0]]:
        raise VerificationError(f"{label(node)}: only a division by a constant is known")
    divisor = walk.constant(node, 1)
    if (divisor == 0).any():
        raise VerificationError(f"{label(node)}: division by zero")
    scaled_back(walk, node, node.input[0], 1.0 / factors(node, divisor))


def _batch_normalization(walk: Walk, node: onnx.NodeProto) -> None:
    """By stored statistics: a scale and a shift for each channel."""
    found = attributes(node)
    if found.get("training_mode", 0) or "".join(node.output[1:]):
        raise VerificationError(f"{label(node)}: only stored statistics are known")
    scale, _, _, variance = (walk.constant(node, i) for i in range(1, 5))
    spread = variance + finite(found, "epsilon", 1e-5)
    if not (spread > 0).all():
        raise VerificationError(f"{label(node)}: variance plus epsilon is not positive")
    slopes = scale / np.sqrt(spread)
    rank = len(walk.shape(node.output[0]))
    scaled_back(walk, node, node.input[0], slopes.reshape(1, -1, *(1,) * (rank - 2)))


def _cast(walk: Walk, node: onnx.NodeProto) -> None:
    """Floats to floats, and bytes to anything that holds them all.

    The rounding of a narrower float is not part of the real-arithmetic function; it belongs to the
    numerical slack. A float that becomes an integer jumps, and a byte in int8 wraps.
    """
    before, after = walk.file.graph.dtype(node.input[0]), int(attributes(node)["to"])
    exact = before == TensorProto.UINT8 or before in _WIDER_THAN_BYTES
    known = (
        after in FLOATS if before in FLOATS else exact and after in (*_WIDER_THAN_BYTES, *FLOATS)
    )
    if not known or (before not in FLOATS and not _only_moved_bytes(walk, node.input[0])):
        raise VerificationError(f"{label(node)}: only the cast of the image or of floats is known")
    pass_through(walk, node)


def _only_moved_bytes(walk: Walk, tensor: str) -> bool:
    """Whether an integer tensor holds the image's own bytes: cast and moved, never computed."""
    while tensor != walk.file.image:
        node = walk.file.graph.producer.get(tensor)
        if node is None or len(walk.file.moving(node)) != 1:
            return False
        if node.op_type not in ("Cast", "Transpose", "Identity", "Reshape", "Unsqueeze", "Squeeze"):
            return False
        tensor = node.input[0]
    return walk.file.graph.dtype(tensor) == TensorProto.UINT8


_ALPHA = frozenset({"alpha"})

RULES: dict[str, Rule] = {
    "Abs": Rule(pass_through),
    "BatchNormalization": Rule(
        _batch_normalization, frozenset({"epsilon", "momentum", "training_mode"})
    ),
    "Cast": Rule(_cast, frozenset({"to", "saturate"}), bytes=True),
    "Clip": Rule(_clip),
    "Div": Rule(_div),
    "Dropout": Rule(_dropout, frozenset({"seed"})),
    "Elu": Rule(_slope(_elu), _ALPHA),
    "HardSigmoid": Rule(_slope(_hard_sigmoid), frozenset({"alpha", "beta"})),
    "HardSwish": Rule(_slope(lambda _: 1.5)),
    "Identity": Rule(pass_through, bytes=True),
    "LeakyRelu": Rule(_slope(_leaky), _ALPHA),
    "Mul": Rule(_mul),
    "Neg": Rule(pass_through),
    "PRelu": Rule(_prelu),
    "Relu": Rule(pass_through),
    "Selu": Rule(_slope(_selu), frozenset({"alpha", "gamma"})),
    "Sigmoid": Rule(_slope(lambda _: 0.25)),
    "Softplus": Rule(pass_through),
    "Softsign": Rule(pass_through),
    "Tanh": Rule(pass_through),
}
