"""Counts and budgets against brute force over every subset of pixels."""

import itertools
import math
import random
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lipdeploy.core.certificate import budget_for_flips, cost_curve, count_flips

# Eighths have exact squares, so that ties between a sum and a budget really occur.
RADII = st.lists(st.integers(0, 24).map(lambda k: k / 8), min_size=1, max_size=7)
EPS = st.integers(0, 40).map(lambda k: k / 8)


def brute_force_flips(radii: list[float], eps: float) -> int:
    """Size of the largest subset whose exact squared radii fit into the budget."""
    best = 0
    for chosen in itertools.product((0, 1), repeat=len(radii)):
        cost = sum(Fraction(r) ** 2 for r, c in zip(radii, chosen, strict=True) if c)
        if cost <= Fraction(eps) ** 2:
            best = max(best, sum(chosen))
    return best


@settings(max_examples=1500, deadline=None)
@given(RADII, EPS)
def test_count_flips_is_the_knapsack(radii: list[float], eps: float) -> None:
    assert int(count_flips(np.array(radii), eps)) == brute_force_flips(radii, eps)


@settings(max_examples=1500, deadline=None)
@given(RADII, st.integers(0, 8))
def test_budget_for_flips_is_the_cheapest_subset(radii: list[float], flips: int) -> None:
    found = budget_for_flips(np.array(radii), flips)
    if flips > len(radii):
        assert math.isinf(found)
        return
    subsets = itertools.combinations(radii, flips)
    exact = min(math.sqrt(sum(r * r for r in subset)) for subset in subsets)
    assert found <= exact
    assert found == pytest.approx(exact, rel=1e-12)


def test_many_budgets_at_once_and_monotone() -> None:
    radius = np.random.default_rng(0).exponential(0.1, 500)
    eps = np.linspace(0, 5, 40)
    counts = count_flips(radius, eps)
    assert counts.tolist() == [int(count_flips(radius, e)) for e in eps]
    assert (np.diff(counts) >= 0).all()


@pytest.mark.parametrize(
    ("radii", "eps", "flips"),
    [
        ([0.0, 0.0], 0.0, 2),
        ([math.inf, 0.5], 9.0, 1),
        ([math.inf], 1e300, 0),
        ([], 1.0, 0),
        ([math.nan, -1.0, 0.5], 0.1, 2),
        ([0.5, 1e200], math.inf, 2),
    ],
)
def test_zeros_infinities_and_no_pixels(radii: list[float], eps: float, flips: int) -> None:
    assert int(count_flips(np.array(radii), eps)) == flips


def exact_flips(radii: npt.NDArray[np.floating], eps: float) -> int:
    """Cheapest first in exact fractions."""
    left, count = Fraction(eps) ** 2, 0
    for radius in sorted(float(r) for r in radii if math.isfinite(r)):
        left -= Fraction(radius) ** 2
        if left < 0:
            break
        count += 1
    return count


FLOATS = st.floats(0, 4, width=64) | st.sampled_from([0.1, 0.3, 1e-160, 5e-324, math.inf, 1 / 3])


@settings(max_examples=1500, deadline=None)
@given(st.lists(FLOATS, min_size=1, max_size=9), st.data())
def test_counts_are_exact_on_the_boundary(radii: list[float], data: st.DataObject) -> None:
    """Budgets at, just below and just above the exact cost of a subset: no rounding either way."""
    array = np.array(radii)
    n = data.draw(st.integers(1, len(radii)))
    cost = math.sqrt(math.fsum(r * r for r in sorted(radii)[:n]))
    for eps in (cost, math.nextafter(cost, 0.0), math.nextafter(cost, math.inf)):
        found = int(count_flips(array, eps))
        if min(array[array > 0], default=1.0) > 1e-120 and (eps == 0 or eps > 1e-120):
            assert found == (exact_flips(array, eps) if math.isfinite(eps) else found)
        elif math.isfinite(eps):
            assert found >= exact_flips(array, eps)


def test_exact_where_float64_sums_are_not() -> None:
    """A million tenths: a plain float64 sum is off by many units, and the boundary decides it."""
    radius = np.full(10**6, np.float32(0.1), np.float32)
    exact_root = float(np.float32(0.1)) * 1000.0  # exact: 24 bits times 10 bits
    assert int(count_flips(radius, exact_root)) == 10**6
    assert int(count_flips(radius, math.nextafter(exact_root, 0.0))) == 10**6 - 1


@settings(max_examples=300, deadline=None)
@given(st.lists(st.floats(0, 2, width=32), min_size=1, max_size=8), st.floats(0, 4), st.randoms())
def test_order_and_scale_change_nothing(
    radii: list[float], eps: float, shuffler: random.Random
) -> None:
    before = int(count_flips(np.array(radii), eps))
    mixed = radii.copy()
    shuffler.shuffle(mixed)
    assert int(count_flips(np.array(mixed), eps)) == before
    assert int(count_flips(np.array(radii) * 8, eps * 8)) == before


@settings(max_examples=300, deadline=None)
@given(RADII, EPS, st.integers(0, 8))
def test_alone_every_pixel_has_the_whole_budget(radii: list[float], eps: float, n: int) -> None:
    curve = cost_curve(np.array(radii))
    assert int(curve.flips_alone(eps)) == sum(r <= eps for r in radii)
    least = curve.budget_alone(n)
    assert least == (0.0 if n == 0 else sorted([*radii, *[math.inf] * 8])[n - 1])


def test_the_curve_of_every_eps_is_what_each_eps_gives() -> None:
    radius = np.random.default_rng(5).exponential(0.1, 400)
    radius[::50] = np.inf
    curve = cost_curve(radius)
    budgets = curve.budgets()
    assert budgets.size == int(np.isfinite(radius).sum()) + 1
    assert budgets.tolist() == [curve.budget(n) for n in range(budgets.size)]
    assert (curve.flips(budgets * (1 + 1e-12)) >= np.arange(budgets.size)).all()
    assert (curve.flips(budgets * (1 - 1e-12)) <= np.arange(budgets.size)).all()
