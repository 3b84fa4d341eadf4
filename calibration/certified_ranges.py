"""Ranges that maximise certified accuracy: coarser steps cost slack, tighter clips cost accuracy.

Every candidate is run twice on a few labelled frames, rounded and only clipped. Their difference is
the rounding, from which D follows; the rounded logits and D give certified accuracy.

Certified accuracy alone is largest where clips are so hard that only the common class is left, even
if each class counts alike (Kvasir-SEG: mIoU 0.67 falls to 0.46). So the mean IoU has a floor, and
above it each class counts alike.

First factors on whole sets of ranges are sought, then each tensor tries a smaller and a larger one,
the widest first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import onnx

from lipdeploy.calibration.activations import Grid, clipped_activations, quantized_activations
from lipdeploy.calibration.examples import Example
from lipdeploy.core.mask_file import IGNORE
from lipdeploy.core.metrics import confusion_matrix, mean_iou
from lipdeploy.core.objectives import correct_radii, kept_share
from lipdeploy.core.radius import margin_from_logits, radius_from_margin
from lipdeploy.export.slack import reserved_slack
from lipdeploy.runtime.session import engine_module

Limits = dict[str, float]
Score = Callable[[Mapping[str, float]], float]
Array = npt.NDArray[np.float64]
Labels = npt.NDArray[np.integer]

FACTORS = (1.0, 0.85, 0.7, 0.6, 0.5, 0.4, 0.3)
STEPS = (0.75, 1.3)
LOST_IOU = 0.01  # of the mean IoU without ranges, at most
LOST_AGREEMENT = 0.1  # the same without labels: of the mean IoU with its own classes, which is 1


class RangeTrial:
    """Certified accuracy of a quantized network as a function of its ranges.

    Attributes:
        floor: mean IoU that a candidate must reach.
    """

    def __init__(
        self,
        trunk: onnx.ModelProto,
        grid: Grid,
        lipschitz: float,
        examples: Sequence[Example],
        eps: Sequence[float],
        engine: str = "onnxruntime",
    ) -> None:
        """Run the network without ranges, which the floor and missing labels come from.

        Args:
            trunk: with INT8 kernels.
            grid: the integers of activations.
            lipschitz: L of the trunk; clips do not change it.
            examples: images and labels.
            eps: budgets; the score is the mean over them.
            engine: the one that is run.
        """
        self.trunk, self.grid, self.lipschitz = trunk, grid, lipschitz
        self.examples, self.eps = examples, np.asarray(eps, np.float64)
        self.engine = engine
        found = self._logits(trunk)
        labels = [truth for _, truth in examples]
        labelled = any((truth != IGNORE).any() for truth in labels)
        self.labels: Sequence[Labels] = labels if labelled else list(found.argmax(1))
        self.floor = self._iou(found) - (LOST_IOU if labelled else LOST_AGREEMENT)

    def score(self, limits: Mapping[str, float]) -> float:
        """Class-balanced certified accuracy, 0..1; below 0 where mean IoU is below the floor."""
        found, exact = (
            self._logits(build(self.trunk, limits, self.grid))
            for build in (quantized_activations, clipped_activations)
        )
        missing = self.floor - self._iou(found)
        if missing > 0:
            return -missing
        error = found - exact
        largest = float((error.max(1) - error.min(1)).max())
        slack = reserved_slack(largest, float(np.sqrt(np.square(error).mean())))
        radii = [
            correct_radii(self._radius(logits, slack), logits.argmax(0), truth)
            for logits, truth in zip(found, self.labels, strict=True)
        ]
        return balanced_share(radii, self.labels, self.eps)

    def _radius(self, logits: Array, slack: float) -> npt.NDArray[np.floating]:
        return radius_from_margin(margin_from_logits(logits), self.lipschitz, slack)

    def _logits(self, trunk: onnx.ModelProto) -> Array:
        """Logits of all examples, shape (N, K, H, W)."""
        run = engine_module(self.engine).open_graph(bytes(trunk.SerializeToString()), 0)
        found = [run(["logits"], {"image": image[None]})[0][0] for image, _ in self.examples]
        return np.asarray(found, np.float64)

    def _iou(self, found: Array) -> float:
        classes = found.shape[1]
        total = np.zeros((classes, classes), np.int64)
        for logits, truth in zip(found, self.labels, strict=True):
            predicted = logits.argmax(0).astype(np.uint8)
            total += confusion_matrix(np.asarray(truth, np.uint8), predicted, classes)
        return mean_iou(total)


def balanced_share(
    radii: Sequence[npt.NDArray[np.floating]], labels: Sequence[Labels], eps: Array
) -> float:
    """Mean over classes and budgets of the share of a class's pixels that stays right.

    The pixels of one class in one image share a budget (the knapsack); pixels add up over images.

    Args:
        radii: of every image, 0 where it is wrong, shape (H, W).
        labels: class ids, likewise.
        eps: budgets, shape (E,).
    """
    present = np.unique(np.concatenate([np.unique(truth) for truth in labels]))
    shares = []
    for class_id in present[present != IGNORE]:
        own = [radius[truth == class_id] for radius, truth in zip(radii, labels, strict=True)]
        kept = sum(kept_share(each, eps) * each.size for each in own)
        shares.append(kept / sum(each.size for each in own))
    return float(np.mean(shares))


def certified_limits(
    score: Score, maxima: Mapping[str, float], others: Sequence[Mapping[str, float]] = ()
) -> Limits:
    """The best ranges found, starting from the largest values seen.

    Args:
        score: of ranges, larger is better.
        maxima: largest value seen of each tensor; no range is larger.
        others: further ranges whose multiples are tried.
    """
    scaled = [
        {name: factor * top for name, top in start.items()}
        for start in (maxima, *others)
        for factor in FACTORS
    ]
    scores = [score(limits) for limits in scaled]
    best, highest = scaled[int(np.argmax(scores))], max(scores)
    for name in sorted(best, key=lambda name: -best[name]):
        for step in STEPS:
            tried = best | {name: min(best[name] * step, maxima[name])}
            found = score(tried) if tried != best else highest
            if found > highest:
                best, highest = tried, found
    return best
