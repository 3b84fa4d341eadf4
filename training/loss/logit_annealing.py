"""Logit annealing: ask every pixel for a margin, and stop asking once it is there."""

from __future__ import annotations

import torch
from torch import Tensor

from lipdeploy.training.loss.cross_entropy import cross_entropy
from lipdeploy.training.loss.pixels import Pixels

OFFSET_TIMES_TEMPERATURE = 2.0 / 0.75
BETA = 5.0


def logit_annealing(
    pixels: Pixels,
    temperature: float,
    offset: float = OFFSET_TIMES_TEMPERATURE,
    beta: float = BETA,
) -> Tensor:
    """Annealed cross-entropy at every pixel, (N, H, W).

    The logit of the label is lowered by offset / temperature, so that a pixel has to be right by
    this margin to count as right; with p its probability then, the loss is

        (1 - p)^beta * -log p

    The factor anneals: a 1-Lipschitz network cannot give every pixel a large margin, and what a
    pixel with enough of it would still ask for is left to the others. The authors' temperature
    divides the logits, ours multiplies them; their offset of 2 at 0.75 is 2.67 of our units.
    They multiply the loss by their temperature, which AdamW does not feel, and add to it the
    margins that eps asks for, which a budget shared by all pixels does not give.

    Source: Lai et al. 2025, logit annealing loss (BRONet).
    """
    asked = torch.zeros_like(pixels.logits).scatter(1, pixels.labels[:, None], offset / temperature)
    lowered = pixels.logits - asked
    loss = cross_entropy(Pixels(lowered, pixels.labels, pixels.known), temperature)
    wrong = -(-loss).expm1()
    return wrong.clamp(min=0) ** beta * loss
