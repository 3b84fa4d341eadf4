"""All questions on one labelled image from one sort of its radii."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lipdeploy.core.certificate import CostCurve, ascending_cost_curve
from lipdeploy.core.class_iou import IouCosts, class_parties
from lipdeploy.core.compiled import cheapest_first
from lipdeploy.core.dataset import IGNORE

Labels = npt.NDArray[np.integer]


@dataclass(frozen=True)
class Ranking:
    """The pixels of an image that count, cheapest first.

    A subset in this order is in order itself, so no question sorts again.

    Attributes:
        radius: ascending, float64, shape (N,).
        truth: class ids in that order.
        predicted: class ids in that order.
    """

    radius: npt.NDArray[np.float64]
    truth: Labels
    predicted: Labels

    def stability(self) -> CostCurve:
        """Costs of changing predictions, right or wrong (CRS, stability)."""
        return ascending_cost_curve(self.radius)

    def accuracy(self) -> CostCurve:
        """Costs of wrong pixels: 0 where a pixel is wrong already (CRPA)."""
        return self._of(np.ones(self.truth.size, np.bool_))

    def class_accuracy(self, class_id: int) -> CostCurve:
        """The same on the pixels labelled `class_id` (FNR)."""
        return self._of(self.truth == class_id)

    def class_iou(self, class_id: int) -> IouCosts:
        """What decides the IoU of a class; joining it costs no less than leaving another."""
        hit, negative, union = class_parties(self.truth, self.predicted, class_id)
        return IouCosts(self.radius[hit], self.radius[negative], union, self.truth.size)

    def _of(self, chosen: npt.NDArray[np.bool_]) -> CostCurve:
        right = chosen & (self.truth == self.predicted)
        free = np.zeros(int(chosen.sum()) - int(right.sum()))
        return ascending_cost_curve(np.concatenate([free, self.radius[right]]))


def rank(truth: Labels, predicted: Labels, radius: npt.NDArray[np.floating]) -> Ranking:
    """Sort the labelled pixels of an image.

    Args:
        truth: class ids (H, W), 255 ignored: unlabelled, or outside the region of interest.
        predicted: class ids (H, W).
        radius: certified radii (H, W); what is negative or not a number counts as 0.
    """
    known = truth != IGNORE
    sound = np.fmax(radius[known], radius.dtype.type(0.0))
    order = cheapest_first(sound)
    return Ranking(sound[order].astype(np.float64), truth[known][order], predicted[known][order])
