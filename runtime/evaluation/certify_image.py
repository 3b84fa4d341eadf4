"""All certificates of one prediction against its labels: arrays in, plain numbers out."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from lipdeploy.core.class_iou import IouFrontier, iou_frontier
from lipdeploy.core.dataset import IGNORE
from lipdeploy.core.metrics import confusion_matrix, robustness
from lipdeploy.core.objectives import (
    budget_for_accuracy,
    budget_for_fnr,
    correct_radii,
    pixelwise_share,
    stability50,
    worst_fnr,
)
from lipdeploy.runtime.evaluation.questions import GAMMAS_ACCURACY, GAMMAS_FNR

Labels = npt.NDArray[np.uint8]
Radii = npt.NDArray[np.floating]


@dataclass(frozen=True)
class ImageCertificates:
    """What one image contributes to every figure.

    Attributes:
        pixels: labelled pixels.
        figures: by key of `Questions.columns`; what is not labelled in the image is missing.
        curves: by key of `Questions.curves`, a value a budget of `grid`; missing likewise.
        confusion: counts of (truth, prediction), K rows of K.
        frontiers: for each class and each eps, the hull of what an attacker can reach.
        pixelwise_iou: for each class and each eps, (hits, union) left where every pixel alone
            faces the whole budget.
    """

    pixels: int
    figures: dict[str, float]
    curves: dict[str, list[float]]
    confusion: list[list[int]]
    frontiers: list[list[IouFrontier]]
    pixelwise_iou: list[list[tuple[int, int]]]


def certify_image(
    truth: Labels,
    predicted: Labels,
    radius: Radii,
    class_names: Sequence[str],
    eps: Sequence[float],
    gammas_accuracy: Sequence[float] = GAMMAS_ACCURACY,
    gammas_fnr: Sequence[float] = GAMMAS_FNR,
    grid: Sequence[float] = (),
) -> ImageCertificates:
    """Answer Q1 and Q2 on one image.

    Args:
        truth: class ids (H, W), 255 ignored.
        predicted: class ids (H, W).
        radius: certified radius of every pixel (H, W).
        class_names: one per class id.
        eps: budgets of Q1.
        gammas_accuracy: accuracies of Q2.
        gammas_fnr: false negative rates of Q2.
        grid: budgets of the curves.
    """
    answers = _Answers(tuple(eps), tuple(grid))
    known = truth != IGNORE
    confusion = confusion_matrix(truth, predicted, len(class_names))
    if known.any():
        answers.figures["pixel_accuracy"] = float(np.trace(confusion) / known.sum())
        _whole_image(answers, truth, predicted, radius, gammas_accuracy)
    frontiers, pixelwise = [], []
    for class_id, label in enumerate(class_names):
        reach = [iou_frontier(truth, predicted, radius, radius, class_id, budget) for budget in eps]
        left = [_pixelwise_iou(truth, predicted, radius, class_id, budget) for budget in eps]
        if (truth == class_id).any():
            _false_negatives(answers, truth, predicted, radius, class_id, label, gammas_fnr)
            hits, both = confusion[class_id, class_id], confusion[class_id] + confusion[:, class_id]
            answers.figures[f"iou/{label}"] = float(hits / (both.sum() - hits))
            answers.add("worst_iou", [frontier.worst() for frontier in reach], f"/{label}")
            answers.add("pixelwise_worst_iou", [hit / below for hit, below in left], f"/{label}")
        frontiers.append([frontier.hull() for frontier in reach])
        pixelwise.append(left)
    return ImageCertificates(
        int(known.sum()), answers.figures, answers.curves, confusion.tolist(), frontiers, pixelwise
    )


@dataclass
class _Answers:
    """Figures by budget, the asked ones apart from those of the curves."""

    eps: tuple[float, ...]
    grid: tuple[float, ...]
    figures: dict[str, float] = field(default_factory=dict)
    curves: dict[str, list[float]] = field(default_factory=dict)

    @property
    def budgets(self) -> npt.NDArray[np.float64]:
        return np.asarray([*self.eps, *self.grid], np.float64)

    def add(self, key: str, values: Sequence[float], suffix: str = "") -> None:
        """Values for `eps`, or for `budgets`: `eps` and then `grid`."""
        numbers = [float(value) for value in values]
        asked, rest = numbers[: len(self.eps)], numbers[len(self.eps) :]
        for eps, value in zip(self.eps, asked, strict=True):
            self.figures[f"{key}@{eps}{suffix}"] = value
        if rest:
            self.curves[f"{key}{suffix}"] = rest


def _whole_image(
    answers: _Answers, truth: Labels, predicted: Labels, radius: Radii, gammas: Sequence[float]
) -> None:
    shares = robustness(truth, predicted, radius, answers.budgets)
    for each in dataclasses.fields(shares[0]):
        answers.add(each.name, [getattr(share, each.name) for share in shares])
    known = truth != IGNORE
    stable = radius[known].astype(np.float64)
    correct = correct_radii(stable, predicted[known], truth[known]).astype(np.float64)
    answers.figures["stability50"] = stability50(stable)
    answers.figures["pixelwise_stability50"] = _pixelwise_budget(stable, Fraction(1, 2))
    for gamma in gammas:
        wrong = 1 - Fraction(str(gamma))
        answers.figures[f"accuracy_budget@{gamma}"] = budget_for_accuracy(correct, gamma)
        answers.figures[f"pixelwise_accuracy_budget@{gamma}"] = _pixelwise_budget(correct, wrong)


def _false_negatives(
    answers: _Answers,
    truth: Labels,
    predicted: Labels,
    radius: Radii,
    class_id: int,
    label: str,
    gammas: Sequence[float],
) -> None:
    positive = truth == class_id
    correct = correct_radii(radius, predicted, truth)[positive].astype(np.float64)
    missed = int((predicted[positive] != class_id).sum())
    answers.figures[f"fnr/{label}"] = missed / correct.size
    bounds: dict[str, Callable[..., npt.NDArray[np.float64]]] = {
        "worst_fnr": worst_fnr,
        "pixelwise_worst_fnr": lambda radii, eps: 1.0 - pixelwise_share(radii, eps),
    }
    for key, bound in bounds.items():
        answers.add(key, bound(correct, answers.budgets).tolist(), f"/{label}")
    for gamma in gammas:
        rate = Fraction(str(gamma))
        answers.figures[f"fnr_budget@{gamma}/{label}"] = budget_for_fnr(correct, gamma)
        answers.figures[f"pixelwise_fnr_budget@{gamma}/{label}"] = _pixelwise_budget(correct, rate)


def _pixelwise_budget(radius: npt.NDArray[np.float64], share: Fraction) -> float:
    """Least budget that `share` of the pixels do not withstand, each facing it alone."""
    count = math.ceil(share * radius.size)
    return float(np.partition(radius, count - 1)[count - 1]) if count else 0.0


def _pixelwise_iou(
    truth: Labels, predicted: Labels, radius: Radii, class_id: int, eps: float
) -> tuple[int, int]:
    """Hits and union of a class where all pixels that alone do not withstand eps turn."""
    known, exposed = truth != IGNORE, radius <= np.float64(eps)
    positive, found = known & (truth == class_id), known & (predicted == class_id)
    hits = int((positive & found & ~exposed).sum())
    gained = int((known & ~positive & ~found & exposed).sum())
    return hits, int((positive | found).sum()) + gained
