"""Worst class IoU under a budget: per image, and over a data set with a budget for each image.

IoU_k = (TP - a) / (P + FP + b): the attacker pays for `a` true positives (any other class) and for
`b` true negatives (changed into class k). Both are cheapest first, so the reachable pairs (a, b)
form one staircase that two prefix sums give.

Source: App. B of the paper. The printed costs lack the factor 1 / (sqrt(2) L) of Eq. 8; without it
the bound is optimistic by sqrt(2) in eps. Costs here are squared radii, so the factor is in them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lipdeploy.core.certificate import rounding_inflation
from lipdeploy.core.dataset import IGNORE
from lipdeploy.core.ratio import WorstRatio, ratio_down

Labels = npt.NDArray[np.integer]
Radii = npt.NDArray[np.floating]
Chosen = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class IouFrontier:
    """What an attacker can reach on one class of one image.

    Attributes:
        hits: true positives before the attack.
        union: labelled plus falsely predicted pixels before the attack.
        lost: numbers of true positives that the attacker may take, 0, 1, 2, ...
        gained: for each, the most true negatives that the rest of the budget turns.
    """

    hits: int
    union: int
    lost: npt.NDArray[np.int64]
    gained: npt.NDArray[np.int64]

    def worst(self) -> float:
        """Smallest IoU on the frontier; NaN where the class neither occurs nor can appear."""
        above, below = self.hits - self.lost, self.union + self.gained
        if not below.any():
            return float("nan")
        share = np.where(below > 0, above / np.maximum(below, 1), np.inf)
        # Quotients are rounded: of those that look least, the exact least.
        least = np.flatnonzero(share <= share.min() * (1.0 + 2.0**-50))
        return min(ratio_down(int(above[i]), int(below[i])) for i in least)

    def hull(self) -> IouFrontier:
        """The vertices that minimise some linear objective: all that a sum over images needs."""
        kept: list[tuple[int, int]] = []
        for point in zip(self.lost.tolist(), self.gained.tolist(), strict=True):
            while len(kept) >= 2 and _turns_left(kept[-2], kept[-1], point):
                kept.pop()
            kept.append(point)
        lost, gained = np.array(kept, np.int64).T
        return IouFrontier(self.hits, self.union, lost, gained)


def _turns_left(a: tuple[int, int], b: tuple[int, int], c: tuple[int, int]) -> bool:
    """Whether b lies on or below the segment from a to c."""
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]) >= 0


@dataclass(frozen=True)
class IouCosts:
    """Radii that decide the IoU of one class on one image, each list in ascending order.

    Attributes:
        leave: of the true positives: radius at which each may change at all.
        join: of the true negatives: radius at which each may become the class.
        union: labelled plus falsely predicted pixels.
        pixels: labelled pixels of the image.
    """

    leave: npt.NDArray[np.float64]
    join: npt.NDArray[np.float64]
    union: int
    pixels: int

    def frontiers(self, eps: Sequence[float]) -> list[IouFrontier]:
        """The frontier of each budget, from one pair of prefix sums."""
        taken, turned = _prefix(self.leave), _prefix(self.join)
        return [self._frontier(taken, turned, budget) for budget in eps]

    def _frontier(
        self, taken: npt.NDArray[np.float64], turned: npt.NDArray[np.float64], eps: float
    ) -> IouFrontier:
        budget = eps * eps * rounding_inflation(self.pixels)
        affordable = int(np.searchsorted(taken, budget, side="right"))
        lost = np.arange(affordable, dtype=np.int64)
        gained = np.searchsorted(turned, budget - taken[:affordable], side="right") - 1
        return IouFrontier(self.leave.size, self.union, lost, gained.astype(np.int64))

    def pixelwise(self, eps: float) -> tuple[int, int]:
        """Hits and union that are left if every pixel has the whole budget."""
        lost = int(np.searchsorted(self.leave, eps, side="right"))
        gained = int(np.searchsorted(self.join, eps, side="right"))
        return self.leave.size - lost, self.union + gained


def _prefix(ascending: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Cheapest total of 0, 1, 2, ... pixels."""
    return np.concatenate([[0.0], np.cumsum(np.square(ascending))])


def iou_frontier(
    truth: Labels,
    predicted: Labels,
    leave: Radii,
    join: Radii,
    class_id: int,
    eps: float,
) -> IouFrontier:
    """Frontier of one image for one class.

    Args:
        truth: class ids (H, W), 255 ignored.
        predicted: class ids (H, W).
        leave: radius at which a pixel may change at all (H, W).
        join: radius at which a pixel may become `class_id` (H, W); `leave` is sound where the
            logits are not known, since it is never larger.
        class_id: the class k.
        eps: budget, >= 0.
    """
    return _costs(truth, predicted, leave, join, class_id).frontiers([eps])[0]


def _costs(truth: Labels, predicted: Labels, leave: Radii, join: Radii, class_id: int) -> IouCosts:
    known = truth != IGNORE
    labels, answers = truth[known], predicted[known]
    hit, negative, union = class_parties(labels, answers, class_id)
    hits, others = _ascending(leave[known][hit]), _ascending(join[known][negative])
    return IouCosts(hits, others, union, int(known.size))


def class_parties(truth: Labels, predicted: Labels, class_id: int) -> tuple[Chosen, Chosen, int]:
    """True positives and true negatives of a class among labelled pixels, and its union."""
    positive, claimed = truth == class_id, predicted == class_id
    return positive & claimed, ~(positive | claimed), int((positive | claimed).sum())


def _ascending(radius: Radii) -> npt.NDArray[np.float64]:
    return np.sort(np.fmax(np.asarray(radius, np.float64), 0.0))


def worst_class_iou(
    truth: Labels, predicted: Labels, leave: Radii, join: Radii, class_id: int, eps: float
) -> float:
    """Lower bound on the IoU of one class on one image under any perturbation up to `eps`."""
    return iou_frontier(truth, predicted, leave, join, class_id, eps).worst()


def pixelwise_class_iou(
    truth: Labels, predicted: Labels, leave: Radii, join: Radii, class_id: int, eps: float
) -> float:
    """The same where every pixel has the whole budget: what a pixelwise baseline can say."""
    hits, union = _costs(truth, predicted, leave, join, class_id).pixelwise(eps)
    return ratio_down(hits, union) if union else float("nan")


def worst_dataset_iou(frontiers: Sequence[IouFrontier]) -> float:
    """Least data-set IoU, sum of hits over sum of unions, one budget an image, exactly.

    NaN where the class neither occurs nor can appear. `WorstRatio` does the same round by round.
    """
    hulls = [frontier.hull() for frontier in frontiers]
    search = WorstRatio()
    while True:
        for hull in hulls:
            search.add(hull.hits, hull.union, hull.lost, hull.gained)
        if search.finish_round():
            return search.value
