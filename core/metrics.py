"""Segmentation metrics from confusion counts, clean and certified."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lipdeploy.core.dataset import IGNORE
from lipdeploy.core.objectives import correct_radii, kept_share, pixelwise_share

Labels = npt.NDArray[np.integer]


def confusion_matrix(truth: Labels, predicted: Labels, classes: int) -> npt.NDArray[np.int64]:
    """Counts of (truth, prediction) over the labelled pixels, shape (classes, classes)."""
    known = truth != IGNORE
    joint = truth[known].astype(np.int64) * classes + predicted[known]
    return np.bincount(joint, minlength=classes**2).reshape(classes, classes)


def mean_iou(confusion: npt.NDArray[np.int64]) -> float:
    """Mean intersection over union of the classes that occur in truth or prediction."""
    hit = np.diag(confusion)
    union = confusion.sum(0) + confusion.sum(1) - hit
    return float(np.mean(hit[union > 0] / union[union > 0])) if union.any() else float("nan")


@dataclass(frozen=True)
class Robustness:
    """Shares of the labelled pixels of one image under one budget, each a lower bound.

    Attributes:
        crpa: correct whatever the perturbation, all pixels sharing the budget (Eq. 10).
        crs: unchanged whatever the perturbation (Eq. 21).
        pixelwise_crpa: correct, and with a radius above the budget on its own.
        pixelwise_crs: with a radius above the budget on its own.
    """

    crpa: float
    crs: float
    pixelwise_crpa: float
    pixelwise_crs: float


def robustness(
    truth: Labels, predicted: Labels, radius: npt.NDArray[np.floating], eps: npt.NDArray[np.float64]
) -> list[Robustness]:
    """Certified shares of one image for every budget.

    Args:
        truth: class ids (H, W), 255 ignored.
        predicted: class ids (H, W).
        radius: certified radius of every pixel (H, W).
        eps: budgets, shape (E,).

    Returns:
        One entry a budget; all shares are 1 where nothing is labelled.
    """
    known = truth != IGNORE
    stable = radius[known]
    correct = correct_radii(stable, predicted[known], truth[known])
    columns = (
        kept_share(correct, eps),
        kept_share(stable, eps),
        pixelwise_share(correct, eps),
        pixelwise_share(stable, eps),
    )
    return [Robustness(*map(float, row)) for row in zip(*columns, strict=True)]
