"""Losses with the pixels labelled 255 left out."""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import Tensor, nn

from lipdeploy.core.dataset import IGNORE
from lipdeploy.core.errors import InputError

TEMPERATURE_TIMES_EPS = 10.0
HIGHEST_TEMPERATURE = 100.0
LOSSES = ("cross-entropy",)


def temperature_for(eps: float) -> float:
    """Temperature for a target budget: 40 at eps 0.25, 100 at 0.1, at most 100.

    A higher temperature stops rewarding margins earlier: more accurate, less robust.

    Raises:
        InputError: eps is not a finite number above 0.
    """
    if not (math.isfinite(eps) and eps > 0):
        raise InputError(f"eps is {eps}; expected a finite number above 0 (l2, images in [0,1])")
    return min(HIGHEST_TEMPERATURE, TEMPERATURE_TIMES_EPS / eps)


def temperature_cross_entropy(logits: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """Mean cross-entropy of temperature * logits, divided by the temperature.

    Shape: logits (N, K, H, W), labels (N, H, W) to a scalar.

    Source: Béthune et al. 2022; Sec. 5 and App. C, F of the paper.
    """
    scaled = temperature * logits.float()
    return nn.functional.cross_entropy(scaled, labels, ignore_index=IGNORE) / temperature


def build_loss(
    name: str, *, temperature: float, eps: float, class_weights: Tensor | None = None
) -> Callable[[Tensor, Tensor], Tensor]:
    """Loss by name: logits (N, K, H, W) and labels (N, H, W) to a scalar.

    Raises:
        InputError: an unknown name.
    """
    if name != "cross-entropy" or class_weights is not None:
        raise InputError(f"loss is {name!r}; expected cross-entropy")
    return lambda logits, labels: temperature_cross_entropy(logits, labels, temperature)
