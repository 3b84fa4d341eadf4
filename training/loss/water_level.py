"""The water level of an image: up to which radius a margin pays at a budget eps.

A perturbation of norm eps flips the pixels of smallest radius r first, wrong ones for nothing,
until the squares of their radii sum to eps^2 (Eq. 11). The water level T is the radius of the pixel
where it stops. With the fraction of that pixel which is paid for, the number of flips is

    N(eps) = min over T of  eps^2 / T^2 + sum over pixels of max(0, 1 - r^2 / T^2)

the dual of the knapsack, and T is the minimiser. So dN/dr = -2 r / T^2 below T and 0 above it: a
margin beyond sqrt(2) T buys nothing at this eps, below it every bit does, and a wrong pixel that
turns right gains up to 1. T itself needs no gradient, since N is at a minimum in it.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lipdeploy.training.loss.pixels import Pixels


@torch.no_grad()
def water_level(pixels: Pixels, eps: float) -> Tensor:
    """Radius of the first pixel of each image that the budget does not reach, (N,), no gradient.

    In l2 units of the input, for L = 1. The largest radius where the budget reaches all pixels, 0
    without any known pixel.
    """
    radius = (pixels.margin / math.sqrt(2)).clamp(min=0)
    ordered = torch.where(pixels.known, radius, torch.inf).flatten(1).sort(1).values.double()
    count = pixels.known.flatten(1).sum(1)
    flips = (ordered.square().cumsum(1) <= eps * eps).sum(1)
    edge = torch.minimum(flips, count - 1).clamp(min=0)
    level = ordered.gather(1, edge[:, None]).squeeze(1)
    return torch.where(count > 0, level, 0.0).to(pixels.logits.dtype)
