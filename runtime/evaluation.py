"""Certified metrics of a model file on a labelled data set."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lipdeploy.core.dataset import IGNORE, Pair, read_pair
from lipdeploy.core.errors import InputError
from lipdeploy.core.manifest import Manifest
from lipdeploy.core.metrics import Robustness, confusion_matrix, mean_iou, robustness
from lipdeploy.runtime.session import Session


@dataclass(frozen=True)
class ImageRow:
    """One image: clean accuracy and one `Robustness` a budget."""

    name: str
    pixels: int
    pixel_accuracy: float
    robustness: tuple[Robustness, ...]


@dataclass(frozen=True)
class Evaluation:
    """A data set's rows and confusion counts under the budgets `eps`."""

    manifest: Manifest
    eps: tuple[float, ...]
    rows: tuple[ImageRow, ...]
    confusion: npt.NDArray[np.int64]

    def metrics(self) -> dict[str, Any]:
        """`metrics.json` of the contract; means over images, mIoU over the data set."""
        table = np.array([[dataclasses.astuple(r) for r in row.robustness] for row in self.rows])
        names = [field.name for field in dataclasses.fields(Robustness)]
        means = table.mean(0)
        return {
            "images": len(self.rows),
            "pixels": sum(row.pixels for row in self.rows),
            "pixel_accuracy": float(np.mean([row.pixel_accuracy for row in self.rows])),
            "miou": mean_iou(self.confusion),
            "lipschitz": self.manifest.lipschitz,
            "level": self.manifest.numerics.level,
            "eps": {
                str(eps): dict(zip(names, map(float, means[i]), strict=True))
                for i, eps in enumerate(self.eps)
            },
        }

    def write_rows(self, path: Path) -> None:
        """Write `per_image.csv`: a row an image, a column a metric and budget."""
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            names = [field.name for field in dataclasses.fields(Robustness)]
            figures = [f"{name}_{eps}" for eps in self.eps for name in names]
            writer.writerow(["name", "pixels", "pixel_accuracy", *figures])
            for row in self.rows:
                values = [v for each in row.robustness for v in dataclasses.astuple(each)]
                writer.writerow([row.name, row.pixels, row.pixel_accuracy, *values])


def evaluate(
    session: Session, pairs: Sequence[Pair], eps: Sequence[float], progress: Callable[[int], object]
) -> Evaluation:
    """Run every image through the file and certify its prediction against the labels.

    Images are resized to the network's input; budgets are l2 norms there.

    Raises:
        InputError: no budgets, or data that cannot be read.
    """
    if not eps or not pairs:
        raise InputError("nothing to certify: give at least one image and one --eps")
    manifest = session.manifest
    classes = len(manifest.class_names)
    confusion = np.zeros((classes, classes), np.int64)
    rows = []
    for pair in pairs:
        image, truth = read_pair(pair, classes, manifest.height, manifest.width)
        found = session.infer(image, [0.0] * manifest.budgets)
        counts = confusion_matrix(truth, found.mask, classes)
        confusion += counts
        shares = robustness(truth, found.mask, found.radius, np.asarray(eps, np.float64))
        accuracy = float(np.trace(counts) / max(1, counts.sum()))
        labelled = int((truth != IGNORE).sum())
        rows.append(ImageRow(pair.image.name, labelled, accuracy, tuple(shares)))
        progress(1)
    return Evaluation(manifest, tuple(eps), tuple(rows), confusion)
