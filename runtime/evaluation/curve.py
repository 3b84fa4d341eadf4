"""Certified metrics over the budget: curve.csv, and what a plot of it needs."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lipdeploy.core.whole_file import whole_file
from lipdeploy.runtime.evaluation.questions import Questions

CLEAN_ACCURACY = "clean_pixel_accuracy"
CLEAN_FNR = "clean_fnr"


def write_curve(
    path: Path,
    questions: Questions,
    metrics: Mapping[str, Any],
    means: Mapping[str, Sequence[float | None]],
) -> None:
    """A row a budget of `questions.grid`; the columns `clean_...` repeat the value unattacked.

    Empty cells where no image has the class.
    """
    keys = questions.curves()
    clean = {CLEAN_ACCURACY: metrics["pixel_accuracy"]}
    clean |= {f"{CLEAN_FNR}/{k}": metrics["clean"]["fnr"][k] for k in questions.class_names}
    with whole_file(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["eps", *keys, *clean])
        for point, eps in enumerate(questions.grid):
            cells = [*(means[key][point] for key in keys), *clean.values()]
            writer.writerow([eps, *("" if cell is None else cell for cell in cells)])


def read_curve(path: Path) -> dict[str, list[float]]:
    """Columns of curve.csv, NaN for empty cells."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {key: [float(row[key] or "nan") for row in rows] for key in rows[0]}
