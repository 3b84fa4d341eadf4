"""Hinge Kantorovich-Rubinstein: push every margin a little, those that are too small a lot."""

from __future__ import annotations

import torch
from torch import Tensor

from lipdeploy.training.loss.pixels import Pixels

ALPHA = 0.98
MARGIN_TIMES_TEMPERATURE = 4.0


def min_margin_for(temperature: float) -> float:
    """Margin in logit units at which cross-entropy of this temperature has nearly no slope left.

    4 / temperature: the slope there is 1.8 % of that of a wrong pixel. The radius of a pixel that
    has it is min_margin / sqrt(2); 0.07 at temperature 40.
    """
    return MARGIN_TIMES_TEMPERATURE / temperature


def hinge_kr(pixels: Pixels, min_margin: float, alpha: float = ALPHA) -> Tensor:
    """Soft multi-class HKR at every pixel in units of `min_margin`, (N, H, W).

    With s = 1 at the label and -1 at the other classes, and q = 1 at the label and a softmax of
    the logits over the others, it is

        sum_k q_k ((1 - alpha) (-s_k f_k) + alpha max(0, min_margin / 2 - s_k f_k))

    The hinge is 0 from a margin of `min_margin` on (f_y >= min_margin / 2, all others below
    -min_margin / 2), that is a radius of min_margin / sqrt(2); the first term, which estimates a
    Wasserstein distance, never saturates. Of the two published multi-class forms this one is a
    sum over pixels, so that class weights balance it; the older one divides by the number of
    pixels of each class in the batch, which is 0 for rare classes. The softmax sharpens as the
    logits outgrow the margin; its scale is the mean of the image and not a running one, so that a
    run resumes exactly and a batch may be cut into parts.

    Args:
        pixels: the batch.
        min_margin: in logit units, above 0.
        alpha: weight of the hinge, 0..1.

    Source: Serrurier et al. 2021 (HKR), 2024 (soft weights); deel-torchlip SoftHKRMulticlassLoss.
    """
    weight = _soft_weights(pixels, min_margin)
    sign = torch.full_like(pixels.logits, -1.0).scatter(1, pixels.labels[:, None], 1.0)
    signed = sign * pixels.logits / min_margin
    hinge = torch.relu(0.5 - signed)
    return (weight * ((1 - alpha) * -signed + alpha * hinge)).sum(1)


def _soft_weights(pixels: Pixels, min_margin: float) -> Tensor:
    """1 at the label, a softmax over the other classes; differentiable but for its scale."""
    size = (pixels.logits.detach().abs().mean(1) * pixels.known).sum((1, 2))
    mean = size / pixels.known.sum((1, 2)).clamp(min=1)
    scale = min_margin / mean.clamp(min=min_margin)
    softmax = torch.softmax(pixels.others * scale[:, None, None, None], 1)
    return softmax.scatter(1, pixels.labels[:, None], 1.0)
