"""Cosine similarity between the logits of a pixel and its label."""

from __future__ import annotations

from torch import Tensor

from lipdeploy.training.loss.pixels import Pixels

SMALL = 1e-3


def cosine(pixels: Pixels, small: float = SMALL) -> Tensor:
    """1 - cos(f, e_y) at every pixel, 0..2, (N, H, W): e_y is the label as a one-hot vector.

    The paper names the loss and prints no formula; this is our reading of it. The logits are not
    centred: the best vector is a positive multiple of e_y, with 0 for the other classes. The loss
    does not see the length of f: neither temperature nor eps enter, and the place on the
    accuracy-robustness curve is not chosen. `small` (logit units, below every margin that
    matters) keeps the slope finite where all logits are 0.

    Source: Fig. 4 and App. D of the paper; the loss of Barz and Denzler 2020.
    """
    length = (pixels.logits.square().sum(1) + small * small).sqrt()
    return 1.0 - pixels.target / length
