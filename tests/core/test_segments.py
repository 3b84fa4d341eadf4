"""All segments at once against one segment at a time."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lipdeploy.core.certificate import count_flips
from lipdeploy.core.segments import certify_segments

PIXELS = st.lists(st.tuples(st.integers(-1, 3), st.integers(0, 15)), min_size=0, max_size=14)


@settings(max_examples=1500, deadline=None)
@given(PIXELS, st.integers(0, 40), st.lists(st.integers(1, 5), min_size=4, max_size=4))
def test_every_segment_like_alone(
    pixels: list[tuple[int, int]], eighths: int, needed: list[int]
) -> None:
    segment = np.array([s for s, _ in pixels], np.int64)
    radius = np.array([k / 8 for _, k in pixels], np.float32)
    found = certify_segments(segment, radius, eighths / 8, np.array(needed))
    for s in range(4):
        alone = radius[segment == s]
        assert found.area[s] == alone.size
        assert found.flips[s] == int(count_flips(alone, eighths / 8))
        if needed[s] > alone.size:
            assert math.isinf(found.budget[s])
            continue
        cheapest = np.sort(alone.astype(np.float64))[: needed[s]]
        exact = sum((Fraction(float(r)) ** 2 for r in cheapest), Fraction(0))
        assert Fraction(float(found.budget[s])) ** 2 <= exact
        assert found.budget[s] == pytest.approx(math.sqrt(exact), rel=1e-12)


def test_never_optimistic_on_random_radii() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        segment = rng.integers(-1, 20, 5000)
        radius = rng.exponential(0.05, 5000).astype(np.float32)
        needed = rng.integers(1, 100, 20)
        eps = float(rng.uniform(0, 1))
        found = certify_segments(segment, radius, eps, needed)
        for s in range(20):
            alone = np.sort(radius[segment == s].astype(np.float64))
            exact = int((np.cumsum(np.square(alone)) <= eps**2).sum())
            assert exact <= found.flips[s] <= exact + 1
            cheapest = math.sqrt(math.fsum(np.square(alone[: needed[s]])))
            assert cheapest * (1 - 1e-6) - 1e-7 <= found.budget[s] <= cheapest


@settings(max_examples=500, deadline=None)
@given(st.lists(st.floats(0, 2, width=32), min_size=1, max_size=16), st.integers(1, 16))
def test_the_smallest_budget_that_pays_is_enough(radii: list[float], pixels: int) -> None:
    """eps is the least float whose exact square covers the cheapest pixels."""
    radius = np.array(radii, np.float32)
    cheapest = sorted(Fraction(float(r)) ** 2 for r in radius)[:pixels]
    total = sum(cheapest, Fraction(0))
    eps = math.sqrt(total)
    while Fraction(eps) ** 2 < total:
        eps = math.nextafter(eps, math.inf)
    found = certify_segments(np.zeros(len(radii), np.int64), radius, eps, np.array([1]))
    assert found.flips[0] >= len(cheapest)


@pytest.mark.parametrize("eps", [0.0, 1.0, 1e6, 1e200])
def test_extreme_radii_and_budgets(eps: float) -> None:
    radius = np.array([0.0, np.nan, np.inf, 1e30, 0.5, -0.0], np.float32)
    segment = np.zeros(6, np.int64)
    found = certify_segments(segment, radius, eps, np.array([4]))
    exact = int(count_flips(np.nan_to_num(radius, nan=0.0), min(eps, 1e100)))
    assert exact <= found.flips[0] <= 6
    assert found.budget[0] == pytest.approx(0.5)
