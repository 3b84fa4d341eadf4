"""Certificates on arrays of radii: the pixels a budget can flip, the budget that flips n pixels.

Changes of different pixels are orthogonal, so their squared radii add up, and the worst case under
a budget eps is a knapsack with unit values: take the cheapest pixels first (Massena et al. 2025,
Eq. 9 to 14). A tie counts as flipped; counts are exact, and budgets are rounded down.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lipdeploy.core.exact import product_rest, squares_fit, sum_rest

FloatArray = npt.NDArray[np.floating]

# Squares of what lies between are exact as two floats. Below, a radius counts as 0; above, as this.
_SMALLEST, _LARGEST = 2.0**-450, 2.0**450
_LARGEST_EPS = 2.0**480
_UNIT_ROUNDOFF = 2.0**-53


@dataclass(frozen=True)
class CostCurve:
    """The cheapest way to change 0, 1, 2, ... pixels of a set; every question reads off it.

    Attributes:
        radius: radii of the pixels that can change at all, ascending, float64.
        total: sums of the 0, 1, 2, ... smallest squares, relative error below 2^-51.
        size: pixels in the set, those of infinite radius included.
    """

    radius: npt.NDArray[np.float64]
    total: npt.NDArray[np.float64]
    size: int

    def flips(self, eps: float | FloatArray) -> npt.NDArray[np.int64]:
        """Most pixels that a perturbation of l2 norm `eps` can change.

        The largest n such that the n smallest squared radii sum to at most eps^2, exactly.

        Args:
            eps: one budget or an array of budgets, >= 0.

        Returns:
            Counts in 0..size, shaped like `eps`.

        Raises:
            ValueError: a negative budget.

        Source: Eq. 11.
        """
        budgets = checked_budgets(eps)
        squared = np.square(np.clip(budgets, 0.0, _LARGEST_EPS))
        doubt = 2.0**-50 + (self.size * 2.0**-51) ** 2
        low = np.searchsorted(self.total[1:], squared * (1.0 - doubt), side="right")
        high = np.searchsorted(self.total[1:], squared * (1.0 + doubt), side="right")
        counts = np.asarray(low, np.int64).copy()
        for place in np.argwhere(np.asarray(low != high)):
            at = tuple(place)
            counts[at] = self._decide(int(low[at]), int(high[at]), float(budgets[at]))
        return counts

    def budget(self, flips: int) -> float:
        """Least l2 norm that can change `flips` pixels or more, rounded down (0 for flips <= 0).

        Infinite where fewer can change.

        Source: Eq. 14.
        """
        if flips >= len(self.total):
            return math.inf
        return math.sqrt(self.total[max(0, flips)]) * (1.0 - 2.0**-49)

    def flips_alone(self, eps: float | FloatArray) -> npt.NDArray[np.int64]:
        """Pixels that `eps` can change if each has the whole budget: the pixelwise count."""
        return np.asarray(np.searchsorted(self.radius, np.asarray(eps), side="right"), np.int64)

    def budget_alone(self, flips: int) -> float:
        """Least eps at which `flips` pixels can change, each on its own; infinite with fewer."""
        if flips > self.radius.size:
            return math.inf
        return float(self.radius[flips - 1]) if flips > 0 else 0.0

    def budgets(self) -> npt.NDArray[np.float64]:
        """`budget` of 0, 1, 2, ... pixels: where the curves of CRPA, CRS and FNR step."""
        return np.sqrt(self.total) * (1.0 - 2.0**-49)

    def _decide(self, low: int, high: int, eps: float) -> int:
        """Exact count where rounding leaves low..high open."""
        while low < high:
            middle = (low + high + 1) // 2
            if squares_fit(self.radius[:middle], min(max(eps, _SMALLEST), _LARGEST_EPS)):
                low = middle
            else:
                high = middle - 1
        return low


def cost_curve(radius: FloatArray | CostCurve) -> CostCurve:
    """The curve of a set of pixels, from one sort.

    Args:
        radius: radii, any shape, >= 0; infinite for a pixel that cannot change. What is negative or
            not a number counts as 0.
    """
    if isinstance(radius, CostCurve):
        return radius
    return ascending_cost_curve(np.sort(np.fmax(np.asarray(radius, np.float64), 0.0), axis=None))


def ascending_cost_curve(ascending: npt.NDArray[np.float64]) -> CostCurve:
    """The same of radii that are in order already, shape (N,), without negatives or NaN."""
    finite = ascending[: np.searchsorted(ascending, np.inf)]
    usable = np.minimum(np.where(finite < _SMALLEST, 0.0, finite), _LARGEST)
    return CostCurve(finite, _prefix_sums(usable), ascending.size)


def _prefix_sums(root: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Sums of the first 0, 1, 2, ... squares with the rounding of every step put back."""
    square = root * root
    total = np.cumsum(square)
    before = np.concatenate([[0.0], total[:-1]])
    lost = sum_rest(before, square, total) + product_rest(root, root, square)
    corrected = np.maximum.accumulate(total + np.cumsum(lost))
    return np.concatenate([[0.0], corrected])


def checked_budgets(eps: float | FloatArray) -> npt.NDArray[np.float64]:
    """Budgets as float64.

    Raises:
        ValueError: one of them is negative.
    """
    budgets = np.asarray(eps, np.float64)
    if (budgets < 0).any():
        raise ValueError(f"eps is {budgets.min()}; expected 0 or more")
    return budgets


def rounding_inflation(pixels: int) -> float:
    """Factor on a squared budget that covers the float64 rounding of a sum over `pixels`."""
    return 1.0 + 4 * (pixels + 4) * _UNIT_ROUNDOFF


def count_flips(radius: FloatArray | CostCurve, eps: float | FloatArray) -> npt.NDArray[np.int64]:
    """Most pixels that `eps` can change, exactly: see `CostCurve.flips`."""
    return cost_curve(radius).flips(eps)


def budget_for_flips(radius: FloatArray | CostCurve, flips: int) -> float:
    """Least l2 norm that can change `flips` pixels, rounded down: see `CostCurve.budget`."""
    return cost_curve(radius).budget(flips)
