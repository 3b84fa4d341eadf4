"""Certificate-aware losses of ours: they stop paying where the certificate at eps does.

All three measure margins against the water level T of their image (see `water_level`), which moves
with training: margins below it raise it, so that a robust image has a high one and asks for more.
A loss that is flat at the level therefore stays at a low one. On the pet data at 32x32 (3 epochs,
eps 0.25, one seed) form a had CRPA@0.25 0.06 with a saturation of 3.5 and 0.52 with 1.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from lipdeploy.training.loss.cross_entropy import cross_entropy
from lipdeploy.training.loss.pixels import Pixels
from lipdeploy.training.loss.water_level import water_level

LOWEST_TEMPERATURE, HIGHEST_TEMPERATURE = 2.0, 400.0
SATURATION = 1.0
SHARPNESS = 4.0


def level_temperature(pixels: Pixels, eps: float, saturation: float = SATURATION) -> Tensor:
    """Temperature of each image at which a margin of sqrt(2) T becomes `saturation`, (N,).

    Between 2 and 400: an untrained network has a level near 0, and one that is robust everywhere
    would ask for margins without end.
    """
    level = math.sqrt(2) * water_level(pixels, eps)
    return (saturation / level).clamp(LOWEST_TEMPERATURE, HIGHEST_TEMPERATURE)


def level_cross_entropy(pixels: Pixels, eps: float, saturation: float = SATURATION) -> Tensor:
    """Form a: cross-entropy that each image scales by its own level, (N, H, W).

    With two classes its slope at the water level is 1 / (1 + exp(saturation)) of the steepest, a
    quarter; it has faded to 5 % at 3 T.
    """
    temperature = level_temperature(pixels, eps, saturation)[:, None, None, None]
    return cross_entropy(Pixels(pixels.logits * temperature, pixels.labels, pixels.known), 1.0)


def level_hinge(pixels: Pixels, eps: float, sharpness: float = SHARPNESS) -> Tensor:
    """Form b: softplus(k (1 - r / T)) / k of every pixel, (N, H, W).

    r is the margin / sqrt(2), negative for a wrong pixel; k the sharpness. A hinge that ends at
    the water level, rounded so that it has a slope on both sides.
    """
    share = _share(pixels, eps)
    return nn.functional.softplus(sharpness * (1.0 - share)) / sharpness


def level_dual(pixels: Pixels, eps: float) -> Tensor:
    """Form c: what each pixel adds to the number of flips, (N, H, W).

    max(0, 1 - r^2 / T^2) of a right pixel, whose slope is that of the certificate itself; 1 + |r|
    / T of a wrong one, which the certificate counts as 1 at any distance.
    """
    share = _share(pixels, eps)
    return torch.where(share > 0, torch.relu(1.0 - share.square()), 1.0 - share)


def _share(pixels: Pixels, eps: float) -> Tensor:
    """Radius / T of every pixel, with the limits of form a on T."""
    temperature = level_temperature(pixels, eps)[:, None, None]
    return pixels.margin * temperature / SATURATION
