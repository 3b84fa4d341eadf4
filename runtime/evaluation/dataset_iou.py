"""Worst class IoU over the data set, for every class and budget, by streaming over the records."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from lipdeploy.core.ratio import WorstRatio, ratio_down
from lipdeploy.runtime.evaluation.record import Record

Records = Callable[[], Iterable[Record]]
Table = list[list[float]]


def worst_dataset_ious(records: Records, classes: int, budgets: int) -> Table:
    """Least sum of hits over sum of unions, each image with its own budget.

    All classes and budgets share the passes over the records, a handful.

    Returns:
        For each class and each budget, NaN where the class neither occurs nor can appear.
    """
    ratios = [[WorstRatio() for _ in range(budgets)] for _ in range(classes)]
    pending = [(k, e) for k in range(classes) for e in range(budgets)]
    while pending:
        for record in records():
            for k, e in pending:
                found = record.certificates.frontiers[k][e]
                ratios[k][e].add(found.hits, found.union, found.lost, found.gained)
        pending = [(k, e) for k, e in pending if not ratios[k][e].finish_round()]
    return [[ratio.value for ratio in row] for row in ratios]


class PixelwiseIou:
    """The same where every pixel alone faces the whole budget: sums of counts."""

    def __init__(self, classes: int, budgets: int) -> None:
        self._hits = [[0] * budgets for _ in range(classes)]
        self._union = [[0] * budgets for _ in range(classes)]

    def add(self, record: Record) -> None:
        """One image."""
        for k, row in enumerate(record.certificates.pixelwise_iou):
            for e, (hits, union) in enumerate(row):
                self._hits[k][e] += hits
                self._union[k][e] += union

    def values(self) -> Table:
        """As `worst_dataset_ious`."""
        return [
            [
                ratio_down(hit, below) if below else math.nan
                for hit, below in zip(hits, union, strict=True)
            ]
            for hits, union in zip(self._hits, self._union, strict=True)
        ]
