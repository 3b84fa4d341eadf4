"""Rounding of a quantized activation: half a step inside the clip, which is itself part of f.

QuantizeLinear computes v = x / s in floating point, off by rho |x| / s at most, the division by a
multiplication with 1 / s and a scale folded into what comes before included. It rounds v to a
neighbouring integer, ties either way, and saturates. Rounding commutes with a clip at integers, a
clip moves no two values apart, and where |x| / s > n (1 + 2 rho) both are clipped, at the same end:

    |q s - clip(x)| <= s / 2 + rho (1 + 2 rho) min(|x|, n s),      n = 2^15,

where min(|x|, n s) <= |clip(x)| + s. DequantizeLinear multiplies: rho |q s|; nothing where a
convolution is computed in integers instead. In float64, the reference precision, the replay clips
and leaves the rounding out: exact.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto

from lipdeploy.core.errors import VerificationError
from lipdeploy.export.verifier.graph import attributes, label
from lipdeploy.export.verifier.quantizers import Quantizer
from lipdeploy.export.verifier.rounding.arithmetic import FACTOR_ROUNDINGS, FLOAT64, Arithmetic
from lipdeploy.export.verifier.rounding.loss import Array, Inputs, Loss
from lipdeploy.export.verifier.rounding.tails import Tails

# As for other scales that may be folded: products with kernels must stay normal numbers.
_SCALES = (2.0**-20, 2.0**20)
_LARGEST_BYTES = 2.0**15  # of a shift of bytes: sums of these and bytes are exact in float32


def clip_loss(tails: Tails, node: onnx.NodeProto, arithmetic: Arithmetic) -> Loss:
    """Loss of a QuantizeLinear or of a DequantizeLinear that reads it.

    Raises:
        VerificationError: integers that are not INT16, a zero point, or a scale far from 1.
    """
    if arithmetic == FLOAT64:
        return Loss()
    quantizer = tails.clips[id(node)]
    _require_known(quantizer)
    if is_exact(tails, quantizer):
        return Loss()
    rho = (1.0 + arithmetic.unit) ** FACTOR_ROUNDINGS - 1.0 + 2.0**-53
    scale, name = quantizer.steps.scale, node.input[0]
    tiny = arithmetic.tiny * (2.0 + float(scale.max()))
    if node is not quantizer.node:
        return Loss(((name, 1.0),), rho, 0.0, tiny, lambda inputs: np.abs(inputs[0]))

    def absolute(inputs: Inputs) -> Array:
        return np.abs(quantizer.clipped(inputs[0]))

    rounded = scale * (0.5 + 2.0 * rho)
    return Loss(((name, 1.0),), rho * (1.0 + 2.0 * rho), 0.0, tiny, absolute, rounded)


def _require_known(quantizer: Quantizer) -> None:
    steps, least, most = quantizer.steps, *_SCALES
    if steps.kind != np.int16 or steps.zero.any():
        raise VerificationError(
            f"{label(quantizer.node)} rounds to {steps.kind} with zero point "
            f"{steps.zero.ravel()[0]:.0f}; the bound on rounding is of int16 with zero point 0"
        )
    if not ((steps.scale >= least) & (steps.scale <= most)).all():
        raise VerificationError(
            f"{label(quantizer.node)}: a scale is beyond {least:.3g} to {most:.3g}"
        )


def is_exact(tails: Tails, quantizer: Quantizer) -> bool:
    """Whether only bytes of the image arrive, shifted by whole steps of a power of two."""
    scale = quantizer.steps.scale
    if scale.size != 1 or np.frexp(scale)[0] != 0.5 or not 2.0**-7 <= float(scale) <= 1.0:
        return False
    name = quantizer.node.input[0]
    while name != tails.image:
        node = tails.graph.producer.get(name)
        if node is None or not _keeps_whole_steps(tails, node, float(scale)):
            return False
        (name,) = tails.file.moving(node)
    return tails.graph.dtype(name) == TensorProto.UINT8


def _keeps_whole_steps(tails: Tails, node: onnx.NodeProto, scale: float) -> bool:
    if len(tails.file.moving(node)) != 1 or node.domain not in ("", "ai.onnx"):
        return False
    if node.op_type == "Cast":
        return int(attributes(node)["to"]) == TensorProto.FLOAT
    if node.op_type in ("Add", "Sub"):
        shifts = [tails.file.constants[n] for n in node.input if n in tails.file.constants]
        return all(_whole(np.asarray(shift, np.float64), scale) for shift in shifts)
    return node.op_type in ("Identity", "Transpose")


def _whole(shift: Array, scale: float) -> bool:
    steps = shift / scale
    return bool((steps == np.rint(steps)).all() and (np.abs(shift) <= _LARGEST_BYTES).all())
