"""Means that do not depend on the order or the grouping of their terms."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

_SHIFT = 1074  # every finite float64 is an integer times 2^-1074


@dataclass
class ExactMean:
    """A running mean of float64 numbers: the sum is an exact integer, rounded once at the end.

    >>> mean = ExactMean()
    >>> mean.add(1e16); mean.add(1.0); mean.add(-1e16)
    >>> mean.value() == 1 / 3
    True
    """

    total: int = 0
    count: int = 0
    finite: bool = True

    def add(self, value: float) -> None:
        """One term."""
        self.count += 1
        if math.isfinite(value):
            above, below = value.as_integer_ratio()
            self.total += above << (_SHIFT + 1 - below.bit_length())
        else:
            self.finite = False

    def value(self) -> float | None:
        """The mean; None without terms, or with one that is not finite."""
        return self.total / (self.count << _SHIFT) if self.count and self.finite else None


def add_all(means: dict[str, ExactMean], terms: Iterable[tuple[str, float]]) -> None:
    """Add each term to the mean of its key."""
    for key, value in terms:
        means[key].add(value)
