"""The paper's questions on one image: worst value under a budget (Q1), budget to reach it (Q2).

All functions take the radii of the pixels that count (label known, inside the region of interest),
as an array or as a `CostCurve` that several questions share, and never look at pixels they are not
given. Shares are rounded against us. No pixels: nothing can be degraded, so shares are 1, rates 0
and budgets infinite.

Collective: all pixels share one budget (the knapsack). Pixelwise: each pixel has the whole budget,
which is what baselines report; never the better figure of the two.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from lipdeploy.core.certificate import CostCurve, budget_for_flips, cost_curve
from lipdeploy.core.compiled import count_flips
from lipdeploy.core.ratio import shares_down, shares_up

Radii = npt.NDArray[np.floating]
Counts = npt.NDArray[np.integer]
Shares = npt.NDArray[np.float64]
Eps = npt.NDArray[np.float64] | float


def correct_radii(radius: Radii, predicted: Counts, truth: Counts) -> Radii:
    """Radius at which a pixel may be *wrong*: 0 where it is wrong already (Eq. 8)."""
    return np.where(predicted == truth, radius, 0.0)


def kept_share(radius: Radii | CostCurve, eps: Eps) -> Shares:
    """Least share of pixels that keep their state, the pixels sharing the budget.

    With `correct_radii` this is CRPA (Eq. 10), with plain radii CRS (Eq. 21).
    """
    return _kept(count_flips(radius, eps), radius.size)


def pixelwise_share(radius: Radii | CostCurve, eps: Eps) -> Shares:
    """Share of pixels whose own radius exceeds the budget: what pixelwise baselines report."""
    return _kept(cost_curve(radius).flips_alone(eps), radius.size)


def worst_fnr(radius: Radii | CostCurve, eps: Eps) -> Shares:
    """Largest false negative rate, from `correct_radii` on the pixels of one class (Eq. 16)."""
    return shares_up(count_flips(radius, eps), max(1, radius.size))


def pixelwise_fnr(radius: Radii | CostCurve, eps: Eps) -> Shares:
    """The same with the whole budget for each pixel."""
    return shares_up(cost_curve(radius).flips_alone(eps), max(1, radius.size))


def kept_curve(radius: Radii | CostCurve) -> tuple[Shares, Shares]:
    """`kept_share` at every eps: the whole staircase from one sort.

    Returns:
        Budgets in ascending order, shape (N + 1,), and the share that is kept from each of them up
        to the next, likewise; the first budget is 0. Read it from the left: budgets are rounded
        down, so the staircase is never above the real one.
    """
    curve = cost_curve(radius)
    budgets = curve.budgets()
    return budgets, _kept(np.arange(budgets.size), curve.size)


def budget_for_accuracy(radius: Radii | CostCurve, gamma: float | Fraction) -> float:
    """Least budget that brings the accuracy down to gamma or below.

    ceil((1 - gamma) n) pixels must be wrong; the paper prints ceil(gamma n) (below Eq. 12), which
    is right for a rate of errors only. Also the budget for a stability of gamma, with plain radii.

    Raises:
        ValueError: gamma outside 0..1.
    """
    wrong = 1 - exact_share(gamma)
    return budget_for_flips(radius, math.ceil(wrong * radius.size)) if radius.size else math.inf


def budget_for_fnr(radius: Radii | CostCurve, gamma: float) -> float:
    """Least budget that brings the false negative rate of one class up to gamma (Eq. 18)."""
    return budget_for_accuracy(radius, 1 - exact_share(gamma))


def pixelwise_budget_for_accuracy(radius: Radii | CostCurve, gamma: float | Fraction) -> float:
    """Least eps at which a share of at most gamma has radii above it."""
    wrong = 1 - exact_share(gamma)
    curve = cost_curve(radius)
    return curve.budget_alone(math.ceil(wrong * curve.size)) if curve.size else math.inf


def pixelwise_budget_for_fnr(radius: Radii | CostCurve, gamma: float) -> float:
    """Least eps at which a share of at least gamma has radii of at most it."""
    return pixelwise_budget_for_accuracy(radius, 1 - exact_share(gamma))


def stability50(radius: Radii | CostCurve) -> float:
    """Least budget that can change half of the predictions (App. C)."""
    return budget_for_accuracy(radius, 0.5)


def worst_case_pixels(radius: Radii, eps: float) -> npt.NDArray[np.bool_]:
    """The largest set of pixels that the budget can flip, as a map shaped like `radius` (App. G).

    Of pixels with the same radius the first ones are taken.
    """
    sound = np.fmax(np.ravel(radius), 0.0)
    chosen = np.zeros(sound.size, np.bool_)
    chosen[np.argsort(sound, kind="stable")[: int(count_flips(sound, eps))]] = True
    return chosen.reshape(np.shape(radius))


def vanishing_pixels(
    predicted: Counts, radius: Radii, class_id: int, eps: float
) -> npt.NDArray[np.bool_]:
    """The most pixels of one predicted class that the budget can remove, as a map (App. H).

    Shapes: predicted, radius and the result (H, W). Needs no labels.
    """
    return worst_case_pixels(np.where(predicted == class_id, radius, np.inf), eps)


def _kept(flips: npt.NDArray[np.int64], size: int) -> Shares:
    """Share of pixels that are not flipped, rounded down; 1 without any pixel."""
    return shares_down(size - flips, size) if size else np.ones(np.shape(flips))


def exact_share(gamma: float | Fraction) -> Fraction:
    """A share as the decimal that was written: 0.7 is 7/10, so that counts are not off by one.

    Raises:
        ValueError: outside 0..1.
    """
    exact = gamma if isinstance(gamma, Fraction) else Fraction(str(gamma))
    if not 0 <= exact <= 1:
        raise ValueError(f"gamma is {gamma}; expected a share, 0 to 1")
    return exact
