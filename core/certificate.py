"""Certificates on arrays of radii: the pixels a budget can flip, the budget that flips n pixels.

A pixel's radius is a lower bound on the l2 norm of the logit change, divided by the network's
Lipschitz constant, that can change its class. Changes of different pixels are orthogonal, so their
squares add up, and the worst case under a budget eps is a knapsack with unit values: take the
cheapest pixels first (Massena et al. 2025, Eq. 9 to 14).

Every rounding goes against the certificate: counts are rounded up, budgets down, and a tie counts
as flipped.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.floating]

_UNIT_ROUNDOFF = 2.0**-53


def margin_from_logits(logits: FloatArray) -> npt.NDArray[np.float64]:
    """Largest minus second largest logit of every pixel, in float64.

    Shape: (K, ...) to (...), K >= 2.
    """
    top2 = np.partition(np.asarray(logits, np.float64), -2, axis=0)[-2:]
    return np.asarray(top2[1] - top2[0])


def radius_from_margin(
    margin: FloatArray, lipschitz: float, slack: float = 0.0
) -> npt.NDArray[np.float64]:
    """Radius in input l2 units of each pixel: max(0, margin - 2 * slack) / (sqrt(2) * lipschitz).

    `slack` bounds the error of one logit difference of the network that executes (0 for exact
    logits). A margin that is not a number gets radius 0. The result is lowered by 4 units of
    rounding, so it never exceeds the real-arithmetic value.

    Source: Eq. 8 and 20 with p = 2.
    """
    if not lipschitz > 0:
        raise ValueError(f"lipschitz is {lipschitz}; expected a number above 0")
    usable = np.asarray(margin, np.float64) - 2.0 * slack
    factor = (1.0 - 8 * _UNIT_ROUNDOFF) / (math.sqrt(2.0) * lipschitz)
    return np.where(usable > 0, usable * factor, 0.0)


def rounding_inflation(pixels: int) -> float:
    """Factor on a squared budget that covers the float64 rounding of a sum over `pixels`."""
    return 1.0 + 4 * (pixels + 4) * _UNIT_ROUNDOFF


def count_flips(radius: FloatArray, eps: float | FloatArray) -> npt.NDArray[np.int64]:
    """Upper bound on the number of pixels that a perturbation of l2 norm `eps` can change.

    The largest n such that the n smallest squared radii sum to at most eps^2, with the float64
    rounding of the sum resolved towards more flips (a relative excess below size * 2^-51).

    Args:
        radius: radii of the pixels considered, any shape, >= 0; infinity for a fixed pixel.
        eps: one budget or an array of budgets, >= 0.

    Returns:
        Counts in 0..radius.size, shaped like `eps`.

    Source: Eq. 11.
    """
    cost = np.sort(np.square(np.asarray(radius, np.float64)), axis=None)
    total = np.cumsum(cost)
    inflation = rounding_inflation(cost.size)
    with np.errstate(over="ignore"):  # an infinite budget buys every finite pixel
        budget = np.square(np.asarray(eps, np.float64)) * inflation
    finite = int(np.isfinite(total).sum())
    return np.asarray(np.searchsorted(total[:finite], budget, side="right"), np.int64)


def budget_for_flips(radius: FloatArray, flips: int) -> float:
    """Lower bound on the l2 norm that changes at least `flips` of the pixels (0 for flips <= 0).

    Infinite when there are fewer than `flips` pixels.

    Source: Eq. 14.
    """
    cost = np.square(np.asarray(radius, np.float64)).ravel()
    if flips <= 0:
        return 0.0
    if flips > cost.size:
        return math.inf
    smallest = np.partition(cost, flips - 1)[:flips]
    return math.sqrt(math.fsum(smallest)) * (1.0 - 8 * _UNIT_ROUNDOFF)
