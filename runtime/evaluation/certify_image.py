"""All certificates of one prediction against its labels: arrays in, plain numbers out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from lipdeploy.core.certificate import CostCurve
from lipdeploy.core.class_iou import IouCosts, IouFrontier
from lipdeploy.core.metrics import confusion_matrix
from lipdeploy.core.objectives import (
    budget_for_accuracy,
    budget_for_fnr,
    kept_share,
    pixelwise_budget_for_accuracy,
    pixelwise_budget_for_fnr,
    pixelwise_fnr,
    pixelwise_share,
    stability50,
    worst_fnr,
)
from lipdeploy.core.ranking import rank
from lipdeploy.core.ratio import ratio_down
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
    confusion = confusion_matrix(truth, predicted, len(class_names))
    ranking = rank(truth, predicted, radius)
    if ranking.truth.size:
        answers.figures["pixel_accuracy"] = float(np.trace(confusion) / ranking.truth.size)
        answers.add_accuracy(ranking.accuracy(), gammas_accuracy)
        answers.add_stability(ranking.stability())
    costs = [ranking.class_iou(class_id) for class_id in range(len(class_names))]
    frontiers = [each.frontiers(eps) for each in costs]
    pixelwise = [[_pixelwise_iou(each, budget) for budget in eps] for each in costs]
    for class_id, label in enumerate(class_names):
        labelled, hits = int(confusion[class_id].sum()), int(confusion[class_id, class_id])
        if labelled:
            answers.figures[f"fnr/{label}"] = (labelled - hits) / labelled
            answers.figures[f"iou/{label}"] = hits / costs[class_id].union
            answers.add_fnr(ranking.class_accuracy(class_id), label, gammas_fnr)
            answers.add_iou(frontiers[class_id], pixelwise[class_id], label)
    return ImageCertificates(
        ranking.truth.size,
        answers.figures,
        answers.curves,
        confusion.tolist(),
        [[frontier.hull() for frontier in row] for row in frontiers],
        pixelwise,
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

    def add_accuracy(self, curve: CostCurve, gammas: Sequence[float]) -> None:
        self._add("crpa", kept_share(curve, self.budgets).tolist())
        self._add("pixelwise_crpa", pixelwise_share(curve, self.budgets).tolist())
        for gamma in gammas:
            alone = pixelwise_budget_for_accuracy(curve, gamma)
            self.figures[f"accuracy_budget@{gamma}"] = budget_for_accuracy(curve, gamma)
            self.figures[f"pixelwise_accuracy_budget@{gamma}"] = alone

    def add_stability(self, curve: CostCurve) -> None:
        self._add("crs", kept_share(curve, self.budgets).tolist())
        self._add("pixelwise_crs", pixelwise_share(curve, self.budgets).tolist())
        self.figures["stability50"] = stability50(curve)
        self.figures["pixelwise_stability50"] = pixelwise_budget_for_accuracy(curve, 0.5)

    def add_fnr(self, curve: CostCurve, label: str, gammas: Sequence[float]) -> None:
        self._add("worst_fnr", worst_fnr(curve, self.budgets).tolist(), label)
        self._add("pixelwise_worst_fnr", pixelwise_fnr(curve, self.budgets).tolist(), label)
        for gamma in gammas:
            alone = pixelwise_budget_for_fnr(curve, gamma)
            self.figures[f"fnr_budget@{gamma}/{label}"] = budget_for_fnr(curve, gamma)
            self.figures[f"pixelwise_fnr_budget@{gamma}/{label}"] = alone

    def add_iou(
        self, frontiers: Sequence[IouFrontier], alone: Sequence[tuple[int, int]], label: str
    ) -> None:
        self._add("worst_iou", [frontier.worst() for frontier in frontiers], label)
        self._add("pixelwise_worst_iou", [ratio_down(*counts) for counts in alone], label)

    def _add(self, key: str, values: Sequence[float], label: str = "") -> None:
        """Values for `eps`, or for `budgets`: `eps` and then `grid`."""
        suffix = f"/{label}" if label else ""
        for eps, value in zip(self.eps, values, strict=False):
            self.figures[f"{key}@{eps}{suffix}"] = value
        if len(values) > len(self.eps):
            self.curves[f"{key}{suffix}"] = list(values[len(self.eps) :])


def _pixelwise_iou(costs: IouCosts, eps: float) -> tuple[int, int]:
    """Hits and union that are left of a class where each pixel has the whole budget."""
    lost = int(np.searchsorted(costs.leave, eps, side="right"))
    return costs.leave.size - lost, costs.union + int(
        np.searchsorted(costs.join, eps, side="right")
    )
