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

Labels = npt.NDArray[np.integer]
Radii = npt.NDArray[np.floating]


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
        below = self.union + self.gained
        if not below.any():
            return float("nan")
        return float(np.min((self.hits - self.lost)[below > 0] / below[below > 0]))

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
    known = truth != IGNORE
    positive = known & (truth == class_id)
    hit = positive & (predicted == class_id)
    negative = known & ~positive & (predicted != class_id)
    false = known & ~positive & (predicted == class_id)
    taken, turned = _prefix(leave[hit]), _prefix(join[negative])
    budget = eps * eps * rounding_inflation(known.size)
    affordable = int(np.searchsorted(taken, budget, side="right"))
    lost = np.arange(affordable, dtype=np.int64)
    gained = np.searchsorted(turned, budget - taken[:affordable], side="right") - 1
    union = int(positive.sum() + false.sum())
    return IouFrontier(int(hit.sum()), union, lost, gained.astype(np.int64))


def _prefix(radius: Radii) -> npt.NDArray[np.float64]:
    """Cheapest total of 0, 1, 2, ... pixels."""
    cost = np.sort(np.square(np.asarray(radius, np.float64)))
    return np.concatenate([[0.0], np.cumsum(cost)])


def worst_class_iou(
    truth: Labels, predicted: Labels, leave: Radii, join: Radii, class_id: int, eps: float
) -> float:
    """Lower bound on the IoU of one class on one image under any perturbation up to `eps`."""
    return iou_frontier(truth, predicted, leave, join, class_id, eps).worst()


def worst_dataset_iou(frontiers: Sequence[IouFrontier]) -> float:
    """Exact minimum of the data-set IoU, sum of hits over sum of unions, one budget an image.

    Dinkelbach's iteration: for a ratio r every image minimises (hits - a) - r (union + b) on its
    own; the ratio of the sums falls until it repeats, after a handful of rounds.

    Source: Dinkelbach 1967.
    """
    hulls = [frontier.hull() for frontier in frontiers]
    ratio = 1.0
    while True:
        above = below = 0
        for hull in hulls:
            best = int(np.argmax(hull.lost + ratio * hull.gained))
            above += hull.hits - int(hull.lost[best])
            below += hull.union + int(hull.gained[best])
        if below == 0:
            return float("nan")
        if above / below >= ratio:
            return ratio if above else 0.0
        ratio = above / below
