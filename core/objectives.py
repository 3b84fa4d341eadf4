"""The paper's questions on one image: worst value under a budget (Q1), budget to reach it (Q2).

All functions take the radii of the pixels that count (label known, inside the region of interest)
and never look at pixels they are not given. No pixels: nothing can be degraded, so shares are 1,
rates 0 and budgets infinite.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from lipdeploy.core.certificate import budget_for_flips, count_flips

Radii = npt.NDArray[np.floating]
Counts = npt.NDArray[np.integer]


def correct_radii(radius: Radii, predicted: Counts, truth: Counts) -> Radii:
    """Radius at which a pixel may be *wrong*: 0 where it is wrong already (Eq. 8)."""
    return np.where(predicted == truth, radius, 0.0)


def kept_share(radius: Radii, eps: npt.NDArray[np.float64] | float) -> npt.NDArray[np.float64]:
    """Least share of pixels that keep their state, the pixels sharing the budget.

    With `correct_radii` this is CRPA (Eq. 10), with plain radii CRS (Eq. 21).
    """
    return np.asarray(1.0 - count_flips(radius, eps) / max(1, radius.size))


def pixelwise_share(radius: Radii, eps: npt.NDArray[np.float64] | float) -> npt.NDArray[np.float64]:
    """Share of pixels whose own radius exceeds the budget: what pixelwise baselines report."""
    order = np.sort(radius, axis=None)
    exposed = np.searchsorted(order, np.asarray(eps), side="right")
    return np.asarray(1.0 - exposed / max(1, radius.size))


def worst_fnr(radius: Radii, eps: npt.NDArray[np.float64] | float) -> npt.NDArray[np.float64]:
    """Largest false negative rate, from `correct_radii` on the pixels of one class (Eq. 16)."""
    return np.asarray(1.0 - kept_share(radius, eps))


def budget_for_accuracy(radius: Radii, gamma: float | Fraction) -> float:
    """Least budget that brings the accuracy down to gamma or below.

    ceil((1 - gamma) n) pixels must be wrong; the paper prints ceil(gamma n) (below Eq. 12), which
    is right for a rate of errors only. Also the budget for a stability of gamma, with plain radii.
    """
    if not radius.size:
        return math.inf
    return budget_for_flips(radius, math.ceil((1 - _share(gamma)) * radius.size))


def budget_for_fnr(radius: Radii, gamma: float) -> float:
    """Least budget that brings the false negative rate of one class up to gamma (Eq. 18)."""
    return budget_for_accuracy(radius, 1 - _share(gamma))


def stability50(radius: Radii) -> float:
    """Least budget that can change half of the predictions (App. C)."""
    return budget_for_accuracy(radius, 0.5)


def worst_case_pixels(radius: Radii, eps: float) -> npt.NDArray[np.bool_]:
    """The largest set of pixels that the budget can flip, as a map shaped like `radius`.

    Restricted to the pixels of one predicted class by an infinite radius elsewhere, this is the
    vanishing attack (App. H).
    """
    flat = np.ravel(radius)
    chosen = np.zeros(flat.size, np.bool_)
    chosen[np.argsort(flat, kind="stable")[: int(count_flips(flat, eps))]] = True
    return chosen.reshape(np.shape(radius))


def _share(gamma: float | Fraction) -> Fraction:
    """A share as the decimal that was written: 0.7 is 7/10, so that counts are not off by one.

    Raises:
        ValueError: outside 0..1.
    """
    exact = gamma if isinstance(gamma, Fraction) else Fraction(str(gamma))
    if not 0 <= exact <= 1:
        raise ValueError(f"gamma is {gamma}; expected a share, 0 to 1")
    return exact
