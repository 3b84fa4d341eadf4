"""Certified metrics of a model file on a labelled data set."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lipdeploy.core.class_iou import IouFrontier, iou_frontier, worst_dataset_iou
from lipdeploy.core.dataset import IGNORE, Pair, read_pair
from lipdeploy.core.errors import InputError
from lipdeploy.core.manifest import Manifest
from lipdeploy.core.metrics import Robustness, confusion_matrix, mean_iou, robustness
from lipdeploy.core.objectives import (
    budget_for_accuracy,
    budget_for_fnr,
    correct_radii,
    stability50,
    worst_fnr,
)
from lipdeploy.runtime.session import Prediction, Session

GAMMAS_ACCURACY = (0.9, 0.7, 0.5)
GAMMAS_FNR = (0.7, 0.85, 0.95)

Truth = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class ImageRow:
    """One image.

    Attributes:
        index: place of the image in the split.
        name: file name.
        pixels: labelled pixels.
        figures: by key, such as `pixel_accuracy`, `crpa@0.1`, `worst_fnr@0.1/polyp`,
            `fnr_budget@0.7/polyp`; what is not labelled in the image is missing.
    """

    index: int
    name: str
    pixels: int
    figures: dict[str, float]


@dataclass
class Evaluation:
    """Rows, confusion counts and IoU frontiers of a data set under the budgets `eps`."""

    manifest: Manifest
    eps: tuple[float, ...]
    rows: list[ImageRow] = field(default_factory=list)
    confusion: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros((), np.int64))
    frontiers: dict[str, list[IouFrontier]] = field(default_factory=dict)

    def add(self, index: int, name: str, truth: Truth, found: Prediction) -> None:
        """Certify one prediction against its labels."""
        classes = len(self.manifest.class_names)
        counts = confusion_matrix(truth, found.mask, classes)
        self.confusion = self.confusion + counts
        figures = dict(_image_figures(truth, found, self.eps))
        for class_id, label in enumerate(self.manifest.class_names):
            figures.update(_class_figures(truth, found, self.eps, class_id, label))
            for eps in self.eps:
                each = iou_frontier(truth, found.mask, found.radius, found.radius, class_id, eps)
                self.frontiers.setdefault(f"{eps}/{label}", []).append(each.hull())
                if (truth == class_id).any():
                    figures[f"worst_iou@{eps}/{label}"] = each.worst()
        labelled = int((truth != IGNORE).sum())
        if labelled:
            figures["pixel_accuracy"] = float(np.trace(counts) / labelled)
        self.rows.append(ImageRow(index, name, labelled, figures))

    def metrics(self) -> dict[str, Any]:
        """`metrics.json` of the contract; means over images unless the key says otherwise."""
        return {
            "images": len(self.rows),
            "pixels": sum(row.pixels for row in self.rows),
            "pixel_accuracy": self._mean("pixel_accuracy"),
            "miou": mean_iou(self.confusion),
            "lipschitz": self.manifest.lipschitz,
            "level": self.manifest.numerics.level,
            "eps": {str(eps): self._at(eps) for eps in self.eps},
            "q2": {
                "stability50": self._mean("stability50"),
                "accuracy": {str(g): self._mean(f"accuracy_budget@{g}") for g in GAMMAS_ACCURACY},
                "fnr": {
                    label: {str(g): self._mean(f"fnr_budget@{g}/{label}") for g in GAMMAS_FNR}
                    for label in self.manifest.class_names
                },
            },
        }

    def _at(self, eps: float) -> dict[str, Any]:
        names = [each.name for each in dataclasses.fields(Robustness)]
        labels = self.manifest.class_names
        return {
            **{name: self._mean(f"{name}@{eps}") for name in names},
            "worst_fnr": {label: self._mean(f"worst_fnr@{eps}/{label}") for label in labels},
            "worst_iou": {label: self._mean(f"worst_iou@{eps}/{label}") for label in labels},
            "worst_iou_dataset": {
                label: _finite(worst_dataset_iou(self.frontiers[f"{eps}/{label}"]))
                for label in labels
            },
        }

    def _mean(self, key: str) -> float | None:
        """Mean over the images that have the figure; None where none has."""
        values = [row.figures[key] for row in self.rows if key in row.figures]
        return _finite(float(np.mean(values))) if values else None

    def write_rows(self, path: Path) -> None:
        """Write `per_image.csv`: a row an image, empty cells for classes that do not occur."""
        keys = list(dict.fromkeys(key for row in self.rows for key in row.figures))
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["name", "pixels", *keys])
            for row in self.rows:
                cells = [row.figures.get(key, "") for key in keys]
                writer.writerow([row.name, row.pixels, *cells])


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _image_figures(
    truth: Truth, found: Prediction, eps: Sequence[float]
) -> Iterable[tuple[str, float]]:
    known = truth != IGNORE
    if not known.any():
        return
    shares = robustness(truth, found.mask, found.radius, np.asarray(eps, np.float64))
    for budget, share in zip(eps, shares, strict=True):
        yield from ((f"{k}@{budget}", v) for k, v in dataclasses.asdict(share).items())
    stable = found.radius[known].astype(np.float64)
    correct = correct_radii(stable, found.mask[known], truth[known])
    yield "stability50", stability50(stable)
    for gamma in GAMMAS_ACCURACY:
        yield f"accuracy_budget@{gamma}", budget_for_accuracy(correct, gamma)


def _class_figures(
    truth: Truth, found: Prediction, eps: Sequence[float], class_id: int, label: str
) -> Iterable[tuple[str, float]]:
    positive = truth == class_id
    if not positive.any():
        return
    radius = correct_radii(found.radius, found.mask, truth)[positive].astype(np.float64)
    rates = worst_fnr(radius, np.asarray(eps, np.float64))
    yield from ((f"worst_fnr@{e}/{label}", float(r)) for e, r in zip(eps, rates, strict=True))
    for gamma in GAMMAS_FNR:
        yield f"fnr_budget@{gamma}/{label}", budget_for_fnr(radius, gamma)


def evaluate(
    session: Session,
    pairs: Sequence[tuple[int, Pair]],
    eps: Sequence[float],
    progress: Callable[[int], object],
) -> Evaluation:
    """Run every image through the file and certify its prediction against the labels.

    Images are resized to the network's input; budgets are l2 norms there. `pairs` carry their place
    in the split.

    Raises:
        InputError: no budgets, or data that cannot be read.
    """
    if not eps or not pairs:
        raise InputError("nothing to certify: give at least one image and one --eps")
    manifest = session.manifest
    evaluation = Evaluation(manifest, tuple(eps))
    for index, pair in pairs:
        image, truth = read_pair(pair, len(manifest.class_names), manifest.height, manifest.width)
        found = session.infer(image, [0.0] * manifest.budgets)
        evaluation.add(index, pair.image.name, truth, found)
        progress(1)
    return evaluation
