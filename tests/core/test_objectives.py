"""Q1 and Q2 against every subset of pixels, in exact arithmetic."""

import itertools
import math
import random
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lipdeploy.core.objectives import (
    budget_for_accuracy,
    budget_for_fnr,
    correct_radii,
    kept_curve,
    kept_share,
    pixelwise_budget_for_accuracy,
    pixelwise_budget_for_fnr,
    pixelwise_fnr,
    pixelwise_share,
    stability50,
    vanishing_pixels,
    worst_case_pixels,
    worst_fnr,
)

EIGHTHS = st.integers(0, 16).map(lambda k: k / 8)
RADII = st.lists(EIGHTHS, min_size=1, max_size=7)
GAMMA = st.integers(0, 20).map(lambda k: k / 20)


def subsets(radii: list[float]) -> list[tuple[Fraction, int]]:
    """(squared cost, pixels changed) of every attack."""
    squares = [Fraction(r) ** 2 for r in radii]
    choices = itertools.product((0, 1), repeat=len(radii))
    return [
        (sum((c for c, x in zip(squares, each, strict=True) if x), Fraction(0)), sum(each))
        for each in choices
    ]


@settings(max_examples=1500, deadline=None)
@given(RADII, EIGHTHS)
def test_q1_is_the_minimum_over_all_attacks(radii: list[float], eps: float) -> None:
    reachable = [n for cost, n in subsets(radii) if cost <= Fraction(eps) ** 2]
    expected = 1 - max(reachable) / len(radii)
    assert float(kept_share(np.array(radii), eps)) == pytest.approx(expected, abs=1e-12)
    assert float(worst_fnr(np.array(radii), eps)) == pytest.approx(1 - expected, abs=1e-12)
    assert int(worst_case_pixels(np.array(radii), eps).sum()) == max(reachable)


@settings(max_examples=1500, deadline=None)
@given(RADII, GAMMA)
def test_q2_is_the_cheapest_attack_that_gets_there(radii: list[float], gamma: float) -> None:
    share = Fraction(str(gamma))
    costs = [c for c, n in subsets(radii) if Fraction(len(radii) - n, len(radii)) <= share]
    found = budget_for_accuracy(np.array(radii), gamma)
    assert Fraction(found) ** 2 <= min(costs)
    assert found == pytest.approx(math.sqrt(min(costs)), rel=1e-12)
    rates = [c for c, n in subsets(radii) if Fraction(n, len(radii)) >= share]
    assert budget_for_fnr(np.array(radii), gamma) == pytest.approx(math.sqrt(min(rates)), rel=1e-12)


def test_the_printed_count_would_over_claim() -> None:
    """ceil(gamma n) for accuracy <= gamma: nine of ten pixels where one is enough."""
    radii = np.full(10, 1.0)
    assert budget_for_accuracy(radii, 0.9) == pytest.approx(1.0)
    assert budget_for_fnr(radii, 0.9) == pytest.approx(3.0)


def test_shares_are_decimals_not_binary_fractions() -> None:
    """(1 - 0.7) * 10 is 3.0000000000000004 in floating point: one pixel too many."""
    assert budget_for_accuracy(np.full(10, 1.0), 0.7) == pytest.approx(math.sqrt(3))


def test_wrong_pixels_cost_nothing_and_half_is_rounded_up() -> None:
    radius = correct_radii(np.array([2.0, 2.0, 2.0]), np.array([0, 1, 1]), np.array([0, 0, 1]))
    assert radius.tolist() == [2.0, 0.0, 2.0]
    assert stability50(np.array([1.0, 2.0, 5.0])) == pytest.approx(math.sqrt(5))


@settings(max_examples=100, deadline=None)
@given(RADII, EIGHTHS)
def test_pixelwise_is_never_below_collective(radii: list[float], eps: float) -> None:
    """Each pixel alone has the whole budget, so fewer survive than when they share it."""
    array = np.array(radii)
    alone = float(pixelwise_share(array, eps))
    assert alone == pytest.approx(sum(r > eps for r in radii) / len(radii))
    assert alone <= float(kept_share(array, eps)) + 1e-12


def test_no_pixels_one_pixel_and_infinite_radii() -> None:
    none = np.zeros(0)
    assert float(kept_share(none, 1.0)) == 1.0
    assert float(worst_fnr(none, 1.0)) == 0.0
    assert math.isinf(budget_for_accuracy(none, 0.5))
    assert budget_for_accuracy(np.array([0.5]), 0.5) == pytest.approx(0.5)
    assert math.isinf(budget_for_accuracy(np.array([np.inf]), 0.0))
    assert not worst_case_pixels(np.array([np.inf, 0.5]), 0.4).any()
    with pytest.raises(ValueError, match="expected a share"):
        budget_for_accuracy(np.array([1.0]), 1.5)


@settings(max_examples=100, deadline=None)
@given(RADII, st.lists(EIGHTHS, min_size=2, max_size=5), st.randoms())
def test_monotone_in_eps_and_blind_to_the_order(
    radii: list[float], eps: list[float], shuffler: random.Random
) -> None:
    shares = kept_share(np.array(radii), np.array(sorted(eps)))
    assert (np.diff(shares) <= 0).all()
    mixed = radii.copy()
    shuffler.shuffle(mixed)
    assert np.array_equal(shares, kept_share(np.array(mixed), np.array(sorted(eps))))


@settings(max_examples=200, deadline=None)
@given(RADII, GAMMA, EIGHTHS)
def test_pixelwise_figures_by_counting(radii: list[float], gamma: float, eps: float) -> None:
    array, share = np.array(radii), Fraction(str(gamma))
    exposed = Fraction(sum(r <= eps for r in radii), len(radii))
    rate = float(pixelwise_fnr(array, eps))
    assert exposed <= Fraction(rate) <= exposed + Fraction(1, 2**52)

    def kept(budget: float) -> Fraction:
        return Fraction(sum(r > budget for r in radii), len(radii))

    candidates = [0.0, *radii]
    accurate = min((e for e in candidates if kept(e) <= share), default=math.inf)
    missed = min((e for e in candidates if 1 - kept(e) >= share), default=math.inf)
    assert pixelwise_budget_for_accuracy(array, gamma) == (0.0 if gamma == 1 else accurate)
    assert pixelwise_budget_for_fnr(array, gamma) == (0.0 if gamma == 0 else missed)
    assert pixelwise_budget_for_accuracy(array, gamma) <= budget_for_accuracy(array, gamma) + 1e-12


@settings(max_examples=200, deadline=None)
@given(RADII, EIGHTHS)
def test_the_staircase_is_the_share_at_every_eps(radii: list[float], eps: float) -> None:
    budgets, shares = kept_curve(np.array(radii))
    assert budgets[0] == 0
    read = shares[np.searchsorted(budgets, eps, side="right") - 1]
    assert read == pytest.approx(float(kept_share(np.array(radii), eps)))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), EIGHTHS), min_size=1, max_size=8), EIGHTHS)
def test_vanishing_attack_removes_the_most_of_one_class(
    pixels: list[tuple[int, float]], eps: float
) -> None:
    predicted, radius = np.array([p for p, _ in pixels]), np.array([r for _, r in pixels])
    gone = vanishing_pixels(predicted, radius, 1, eps)
    assert (predicted[gone] == 1).all()
    own = [r for p, r in pixels if p == 1]
    most = max((n for cost, n in subsets(own) if cost <= Fraction(eps) ** 2), default=0)
    assert int(gone.sum()) == most
    assert sum((Fraction(float(r)) ** 2 for r in radius[gone]), Fraction(0)) <= Fraction(eps) ** 2


def test_maps_count_what_is_not_a_number_as_changeable() -> None:
    assert worst_case_pixels(np.array([[np.nan, 1.0]]), 0.0).tolist() == [[True, False]]
