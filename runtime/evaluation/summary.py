"""From spools to metrics.json, per_image.csv and curve.csv, one record in memory at a time."""

from __future__ import annotations

import csv
import heapq
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lipdeploy.core.metrics import mean_iou
from lipdeploy.core.whole_file import whole_file
from lipdeploy.runtime.evaluation.curve import write_curve
from lipdeploy.runtime.evaluation.dataset_iou import PixelwiseIou, Table, worst_dataset_ious
from lipdeploy.runtime.evaluation.exact_mean import ExactMean, add_all
from lipdeploy.runtime.evaluation.header import Header
from lipdeploy.runtime.evaluation.metrics import Totals, metrics_of
from lipdeploy.runtime.evaluation.questions import Questions
from lipdeploy.runtime.evaluation.record import Record
from lipdeploy.runtime.evaluation.spool import Spool


def summary(spools: Sequence[Spool], folder: Path) -> dict[str, Any]:
    """Write the three files of a run from the spools that together hold every image once.

    The figures do not depend on how the images are spread over the spools: sums are exact and
    records are taken in order of index.

    Returns:
        What was written to metrics.json.

    Raises:
        InputError: a spool breaks off or is not what its header says; no file is written then.
    """
    header = spools[0].header
    sums = _Sums(header.questions)
    with whole_file(folder / "per_image.csv") as rows:
        with rows.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            columns = header.questions.columns()
            writer.writerow(["index", "name", "pixels", *columns])
            for record in _merged(spools):
                sums.add(record)
                writer.writerow(_row(record, columns))
        worst = worst_dataset_ious(lambda: _merged(spools), *sums.shape)
        metrics = metrics_of(header, sums.totals(header, worst))
        write_curve(folder / "curve.csv", header.questions, metrics, sums.curve_means())
        with whole_file(folder / "metrics.json") as partial:
            partial.write_text(json.dumps(metrics, indent=2), encoding="utf-8")
    return metrics


def _merged(spools: Sequence[Spool]) -> Iterator[Record]:
    return heapq.merge(*(spool.records() for spool in spools), key=lambda record: record.index)


def _row(record: Record, columns: Sequence[str]) -> list[Any]:
    found = record.certificates
    cells = (found.figures.get(key, "") for key in columns)
    return [record.index, record.name, found.pixels, *cells]


@dataclass
class _Sums:
    """All that is kept of the images: its size depends on the questions, not on their number."""

    questions: Questions
    images: int = 0
    pixels: int = 0
    confusion: npt.NDArray[np.int64] = field(init=False)
    means: dict[str, ExactMean] = field(init=False)
    curves: dict[str, list[ExactMean]] = field(init=False)
    pixelwise: PixelwiseIou = field(init=False)

    def __post_init__(self) -> None:
        classes = len(self.questions.class_names)
        self.confusion = np.zeros((classes, classes), np.int64)
        self.means = {key: ExactMean() for key in self.questions.columns()}
        points = len(self.questions.grid)
        self.curves = {key: [ExactMean() for _ in range(points)] for key in self.questions.curves()}
        self.pixelwise = PixelwiseIou(*self.shape)

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.questions.class_names), len(self.questions.eps)

    def add(self, record: Record) -> None:
        found = record.certificates
        self.images += 1
        self.pixels += found.pixels
        self.confusion += np.asarray(found.confusion, np.int64)
        add_all(self.means, found.figures.items())
        for key, values in found.curves.items():
            for mean, value in zip(self.curves[key], values, strict=True):
                mean.add(value)
        self.pixelwise.add(record)

    def totals(self, header: Header, worst: Table) -> Totals:
        """What `metrics_of` lays out."""
        hit = np.diag(self.confusion)
        union = self.confusion.sum(0) + self.confusion.sum(1) - hit
        with np.errstate(invalid="ignore"):
            clean = (hit / union).tolist()
        return Totals(
            self.images,
            self.pixels,
            {key: mean.value() for key, mean in self.means.items()},
            mean_iou(self.confusion),
            dict(zip(header.questions.class_names, clean, strict=True)),
            worst,
            self.pixelwise.values(),
        )

    def curve_means(self) -> dict[str, list[float | None]]:
        """The mean of every curve at every budget of the grid."""
        return {key: [mean.value() for mean in means] for key, means in self.curves.items()}
