"""The least ratio of two sums, one choice for each summand, in exact integers."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from lipdeploy.core.exact import product_rest

Counts = npt.NDArray[np.int64]

_INT64_SAFE = 2**62


class WorstRatio:
    """Least sum(above - lost) / sum(below + gained) over one choice (lost, gained) an item.

    Dinkelbach's iteration: for a ratio r every item minimises (above - lost) - r (below + gained)
    on its own; the ratio of the sums falls until it repeats, after a handful of rounds. Items are
    added anew in each round, so that they may be streamed.

    Source: Dinkelbach 1967.
    """

    def __init__(self) -> None:
        self._ratio: Fraction | None = Fraction(1)
        self._above = self._below = 0

    def add(self, above: int, below: int, lost: Counts, gained: Counts) -> None:
        """Add an item: what it has, and its choices, shape (N,) each, N >= 1."""
        if self._ratio is None:
            return
        p, q = self._ratio.numerator, self._ratio.denominator
        largest = q * int(lost.max()) + p * int(gained.max())
        if largest < _INT64_SAFE:
            best = int(np.argmax(q * lost + p * gained))
        else:
            choices = zip(lost.tolist(), gained.tolist(), strict=True)
            best = max(enumerate(choices), key=lambda each: q * each[1][0] + p * each[1][1])[0]
        self._above += above - int(lost[best])
        self._below += below + int(gained[best])

    def finish_round(self) -> bool:
        """End a round in which every item was added; whether `value` is final."""
        found = Fraction(self._above, self._below) if self._below else None
        settled = found is None or self._ratio is None or found >= self._ratio
        self._above = self._below = 0
        if found is None or not settled:
            self._ratio = found
        return settled

    @property
    def value(self) -> float:
        """The ratio, rounded down; NaN where every sum below the line is 0."""
        if self._ratio is None:
            return float("nan")
        return ratio_down(self._ratio.numerator, self._ratio.denominator)


def ratio_down(above: int, below: int) -> float:
    """Largest float at most above / below."""
    exact = Fraction(above, below)
    rounded = float(exact)
    return rounded if Fraction(rounded) <= exact else math.nextafter(rounded, -math.inf)


def shares_down(above: npt.NDArray[np.integer], below: int) -> npt.NDArray[np.float64]:
    """Largest floats at most above / below, for counts up to 2^50; below >= 1."""
    quotient, excess = _quotients(above, below)
    return np.where(excess > 0, np.nextafter(quotient, -np.inf), quotient)


def shares_up(above: npt.NDArray[np.integer], below: int) -> npt.NDArray[np.float64]:
    """Smallest floats at least above / below, likewise."""
    quotient, excess = _quotients(above, below)
    return np.where(excess < 0, np.nextafter(quotient, np.inf), quotient)


def _quotients(
    above: npt.NDArray[np.integer], below: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Rounded quotients, and quotient * below - above without error."""
    counts, size = np.asarray(above, np.float64), np.asarray(below, np.float64)
    quotient = counts / size
    product = quotient * size
    # The product is within an ulp of the count, so that the difference is exact.
    return quotient, (product - counts) + product_rest(quotient, size, product)
