"""Frames attacked in l2 without torch: normalised gradient steps on the float32 file's weights.

The perturbed frame is rounded to bytes, as a frame that reaches the engine is. How strong the
attack is decides nothing about a certificate: these frames join those on which D is measured.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from threadpoolctl import ThreadpoolController

from lipdeploy.calibration.derivatives import ReversePass
from lipdeploy.export.verifier.parity import Frame

Array = npt.NDArray[np.float64]

EPS, STEPS = 0.5, 3
TEMPERATURE = 40.0  # the raw logits of a 1-Lipschitz network saturate the cross-entropy
GREY_LEVELS = 255.0


class L2Attack:
    """Moves a frame away from the classes predicted for it, by at most `EPS` in l2."""

    def __init__(self, network: ReversePass) -> None:
        self.network = network
        self.threads = ThreadpoolController()

    def __call__(self, frame: Frame) -> Frame:
        """The attacked frame, uint8 (H, W, 3)."""
        with self.threads.limit(limits=1, user_api="blas"):
            moved = self.perturbed(frame)
        return np.asarray(np.rint(moved).clip(0, GREY_LEVELS), np.uint8)

    def perturbed(self, frame: Frame) -> Array:
        """The attacked frame before rounding, in grey levels 0..255."""
        start = frame[None].astype(np.float64)
        delta = np.zeros_like(start)
        labels = None
        for step in range(STEPS):
            values = self.network.forward(start + delta)
            logits = values["logits"]
            labels = logits.argmax(1) if labels is None else labels
            gradient = self.network.gradient(values, cross_entropy_gradient(logits, labels))
            rate = 0.25 * EPS * GREY_LEVELS * (1.0 - 0.9 * step / max(STEPS - 1, 1))
            moved = delta + rate * gradient / max(float(np.linalg.norm(gradient)), 1e-20)
            delta = _projected(moved, start)
        if not np.isfinite(delta).all():
            raise FloatingPointError("the attack produced values that are not finite")
        return np.asarray((start + delta)[0])


def cross_entropy_gradient(logits: Array, labels: npt.NDArray[np.intp]) -> Array:
    """Gradient of the mean cross-entropy of `TEMPERATURE` times the logits, shape (1, K, H, W)."""
    scaled = TEMPERATURE * (logits - logits.max(1, keepdims=True))
    shares = np.exp(scaled) / np.exp(scaled).sum(1, keepdims=True)
    hot = np.arange(logits.shape[1])[None, :, None, None] == labels[:, None]
    return np.asarray(TEMPERATURE * (shares - hot) / labels.size)


def _projected(delta: Array, start: Array) -> Array:
    """Clip to bytes, then shrink into the ball: shrinking towards the frame stays in 0..255."""
    inside = (start + delta).clip(0, GREY_LEVELS) - start
    norm = float(np.linalg.norm(inside))
    return inside * min(1.0, EPS * GREY_LEVELS / max(norm, 1e-20))
