"""Segmentation metrics from confusion counts."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lipdeploy.core.dataset import IGNORE

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
