"""Temperature-scaled cross-entropy: the paper's loss, one knob from accurate to robust."""

from __future__ import annotations

import math

from torch import Tensor, nn

from lipdeploy.core.errors import InputError
from lipdeploy.training.loss.pixels import Pixels

TEMPERATURE_TIMES_EPS = 5.0
HIGHEST_TEMPERATURE = 100.0


def temperature_for(eps: float) -> float:
    """Temperature for a target budget: 20 at eps 0.25, 50 at 0.1, at most 100.

    A higher temperature stops rewarding margins earlier: more accurate, less robust.

    Raises:
        InputError: eps is not a finite number above 0.
    """
    if not (math.isfinite(eps) and eps > 0):
        raise InputError(f"eps is {eps}; expected a finite number above 0 (l2, images in [0,1])")
    return min(HIGHEST_TEMPERATURE, TEMPERATURE_TIMES_EPS / eps)


def cross_entropy(pixels: Pixels, temperature: float) -> Tensor:
    """Cross-entropy of temperature * logits at every pixel, in nats, (N, H, W).

    Source: Béthune et al. 2022; Sec. 5 and App. C, F of the paper.
    """
    scaled = temperature * pixels.logits
    return nn.functional.cross_entropy(scaled, pixels.labels, reduction="none")


def temperature_cross_entropy(logits: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """Mean cross-entropy of temperature * logits, divided by the temperature: in logit units.

    Shape: logits (N, K, H, W), labels (N, H, W) to a scalar.
    """
    pixels = Pixels.of(logits, labels)
    return pixels.mean(cross_entropy(pixels, temperature), None) / temperature
