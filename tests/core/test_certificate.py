"""Counts and budgets against brute force over every subset of pixels."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lipdeploy.core.certificate import (
    budget_for_flips,
    count_flips,
    margin_from_logits,
    radius_from_margin,
)

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


@settings(max_examples=400, deadline=None)
@given(RADII, EPS)
def test_count_flips_is_the_knapsack(radii: list[float], eps: float) -> None:
    assert int(count_flips(np.array(radii), eps)) == brute_force_flips(radii, eps)


@settings(max_examples=300, deadline=None)
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
    [([0.0, 0.0], 0.0, 2), ([math.inf, 0.5], 9.0, 1), ([math.inf], 1e300, 0), ([], 1.0, 0)],
)
def test_zeros_infinities_and_no_pixels(radii: list[float], eps: float, flips: int) -> None:
    assert int(count_flips(np.array(radii), eps)) == flips


def test_radius_is_never_above_exact_arithmetic() -> None:
    rng = np.random.default_rng(1)
    margin = rng.exponential(0.3, 1000)
    lipschitz, slack = 1.0000123, 1e-3
    radius = radius_from_margin(margin, lipschitz, slack)
    for m, r in zip(margin, radius, strict=True):
        usable = max(Fraction(0), Fraction(float(m)) - 2 * Fraction(slack))
        assert 2 * Fraction(float(r)) ** 2 * Fraction(lipschitz) ** 2 <= usable**2
    assert (radius_from_margin(np.array([np.nan, -1.0, 0.0]), 1.0) == 0).all()


def test_margin_of_ties_and_lipschitz_out_of_range() -> None:
    logits = np.array([[1.0, 3.0], [1.0, 2.0], [0.0, -5.0]])
    assert margin_from_logits(logits).tolist() == [0.0, 1.0]
    with pytest.raises(ValueError, match="above 0"):
        radius_from_margin(np.ones(1), 0.0)
