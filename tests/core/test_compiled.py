"""The compiled core against rational arithmetic and against the NumPy references.

What NumPy serves as a fallback is tested in its own files; here it is the second oracle.
"""

from __future__ import annotations

import bisect
import itertools
import math
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lipdeploy.core import certificate, class_iou, compiled, components, histogram, segments

pytestmark = pytest.mark.skipif(
    not compiled.COMPILED, reason="lipdeploy._native was not built: no compiler at installation"
)

Radius = npt.NDArray[np.float32]

LARGEST = float(np.finfo(np.float32).max)
ANY = st.floats(width=32)  # infinities, NaN, denormals and negative ones included
USUAL = st.floats(0, 1, width=32)
SIXTEENTHS = st.integers(0, 16).map(lambda k: k / 16)  # ties, sums and products without rounding
TINY = st.integers(0, 5).map(lambda k: k * 2.0**-149)
HUGE = st.sampled_from([LARGEST, LARGEST / 2, math.inf])


def arrays(elements: st.SearchStrategy[float], largest: int = 12) -> st.SearchStrategy[Radius]:
    return st.lists(elements, max_size=largest).map(lambda values: np.array(values, np.float32))


RADII = st.one_of(
    arrays(ANY), arrays(USUAL), arrays(SIXTEENTHS), arrays(TINY), arrays(st.one_of(HUGE, USUAL))
)
EPS = st.one_of(
    st.floats(0, 3),
    st.integers(0, 64).map(lambda k: k / 16),
    st.integers(0, 8).map(lambda k: k * 2.0**-149),
    st.floats(0, allow_nan=False),
    st.sampled_from([0.0, 5e-324, 1e200, LARGEST, math.inf]),
)


def costs(radius: Radius) -> list[Fraction]:
    """Squares of what can flip, ascending; what is no number >= 0 flips for free."""
    finite = [float(r) if r > 0 else 0.0 for r in radius if not np.isposinf(r)]
    return sorted(Fraction(r) ** 2 for r in finite)


def exact_flips(radius: Radius, eps: float) -> int:
    """Eq. 11 in rational numbers."""
    total, flips = Fraction(0), 0
    for cost in costs(radius):
        total += cost
        if eps != math.inf and total > Fraction(eps) ** 2:
            break
        flips += 1
    return flips


def boundary(radius: Radius, pixels: int) -> float:
    """About the least eps that pays for the cheapest `pixels`: where rounding decides."""
    return float(np.sqrt(float(sum(costs(radius)[:pixels], Fraction(0)))))


@settings(max_examples=1000, deadline=None)
@given(RADII, EPS)
def test_one_budget_is_exact(radius: Radius, eps: float) -> None:
    found = compiled.count_flips(radius, eps)
    assert found.shape == ()
    assert int(found) == exact_flips(radius, eps)


@settings(max_examples=1000, deadline=None)
@given(st.one_of(arrays(USUAL), arrays(SIXTEENTHS), arrays(HUGE)), st.data())
def test_exact_one_unit_of_rounding_around_the_boundary(
    radius: Radius, data: st.DataObject
) -> None:
    middle = boundary(radius, data.draw(st.integers(0, radius.size)))
    near = [math.nextafter(middle, 0.0), middle, math.nextafter(middle, math.inf)]
    expected = [exact_flips(radius, eps) for eps in near]
    assert [int(compiled.count_flips(radius, eps)) for eps in near] == expected
    assert compiled.count_flips(radius, np.array(near)).tolist() == expected


@settings(max_examples=1000, deadline=None)
@given(RADII, st.lists(EPS, max_size=8))
def test_a_curve_is_its_budgets_one_by_one(radius: Radius, eps: list[float]) -> None:
    found = compiled.count_flips(radius, np.array(eps, np.float64))
    assert found.tolist() == [exact_flips(radius, e) for e in eps]


@settings(max_examples=500, deadline=None)
@given(RADII, st.lists(EPS, min_size=2, max_size=6), st.randoms())
def test_order_does_not_matter_and_more_budget_flips_no_less(
    radius: Radius, eps: list[float], random: object
) -> None:
    shuffled = np.array(random.sample(radius.tolist(), radius.size), np.float32)  # type: ignore[attr-defined]
    rising = sorted(eps)
    for count in (compiled.count_flips, compiled.count_flips_upper):
        flips = count(radius, np.array(rising))
        assert (np.diff(flips) >= 0).all()
        assert np.array_equal(count(shuffled, np.array(rising)), flips)


def quantised(rng: np.random.Generator, size: int, steps: int) -> Radius:
    """Many ties; sums are exact, so that a budget can be met to the last bit."""
    return (rng.integers(0, steps + 1, size) / steps).astype(np.float32)


@pytest.mark.parametrize("size", [100, 5000, 50_000])
@pytest.mark.parametrize("seed", range(2))
def test_exact_on_large_arrays(size: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    for radius in (
        rng.exponential(0.05, size).astype(np.float32),
        rng.lognormal(-3, 1.5, size).astype(np.float32),
        quantised(rng, size, 64),
        np.full(size, 0.1, np.float32),
    ):
        cost = np.sort(np.square(radius.astype(np.float64)))
        half, total = math.fsum(cost[: size // 2]), math.fsum(cost)
        eps = np.sqrt([0.0, half, total * 0.999, total])
        around = np.concatenate([eps, np.nextafter(eps, 0), np.nextafter(eps, np.inf)])
        expected = counted(radius, around)
        assert compiled.count_flips(radius, around).tolist() == expected
        assert [int(compiled.count_flips(radius, e)) for e in around] == expected


def counted(radius: Radius, eps: npt.NDArray[np.float64]) -> list[int]:
    """Eq. 11 for many budgets, in integers: every float32 square is a multiple of 2^-298."""
    cost = np.sort(np.square(radius.astype(np.float64)))
    totals = list(itertools.accumulate(int(c) for c in np.ldexp(cost, 298)))
    budgets = [Fraction(float(e)) ** 2 * 2**298 // 1 for e in eps]
    return [bisect.bisect_right(totals, budget) for budget in budgets]


def test_no_pixels() -> None:
    nothing = np.zeros(0, np.float32)
    assert int(compiled.count_flips(nothing, math.inf)) == 0
    assert compiled.count_flips(nothing, np.array([0.0, 1.0])).tolist() == [0, 0]
    assert compiled.count_flips(nothing, np.zeros((2, 0))).shape == (2, 0)
    assert int(compiled.count_flips_upper(nothing, 1.0)) == 0


def test_a_budget_that_is_not_a_number_flips_all_that_can() -> None:
    radius = np.array([0.5, np.inf, 3.0], np.float32)
    assert int(compiled.count_flips(radius, math.nan)) == 2
    assert compiled.count_flips(radius, np.array([math.nan, 0.5])).tolist() == [2, 1]


def test_any_shape_and_stride() -> None:
    radius = np.arange(24, dtype=np.float32).reshape(4, 6)[::2, ::3]
    eps = np.array([[3.0, 12.0], [0.0, 99.0]])
    assert compiled.count_flips(radius, eps).tolist() == [[2, 2], [1, 4]]


def test_other_types_go_to_the_reference() -> None:
    radius = np.array([0.1, 0.2, 0.3])
    assert int(compiled.count_flips(radius, 0.25)) == 2
    assert compiled.cheapest_first(radius[::-1]).tolist() == [2, 1, 0]


@settings(max_examples=300, deadline=None)
@given(RADII, st.lists(EPS, min_size=1, max_size=4))
def test_upper_bound_equals_its_reference_and_bounds(radius: Radius, eps: list[float]) -> None:
    budgets = np.array(eps)
    found = compiled.count_flips_upper(radius, budgets)
    assert np.array_equal(found, histogram.count_flips_upper(radius, budgets))
    assert (found >= compiled.count_flips(radius, budgets)).all()
    assert (found <= (~np.isposinf(radius)).sum()).all()
    assert compiled.count_flips_upper(radius, eps[0]).shape == ()


@pytest.mark.parametrize("seed", range(4))
def test_upper_bound_on_large_arrays(seed: int) -> None:
    rng = np.random.default_rng(seed)
    radius = rng.lognormal(-3, 1, 50_000).astype(np.float32)
    eps = np.linspace(0, 40, 101)
    found = compiled.count_flips_upper(radius, eps)
    assert np.array_equal(found, histogram.count_flips_upper(radius, eps))
    exact = compiled.count_flips(radius, eps)
    assert (found >= exact).all()
    assert (found <= exact * 1.01 + 1).all()


SEGMENT_TYPES = st.sampled_from([np.uint8, np.int16, np.int32, np.int64])


def same_certificates(
    segment: npt.NDArray[np.integer], radius: Radius, eps: float, needed: npt.NDArray[np.int64]
) -> None:
    found = compiled.certify_segments(segment, radius, eps, needed)
    expected = segments.certify_segments(segment, radius, eps, needed)
    assert np.array_equal(found.area, expected.area)
    assert np.array_equal(found.flips, expected.flips)
    assert np.array_equal(found.budget, expected.budget)


@settings(max_examples=600, deadline=None)
@given(st.data(), SEGMENT_TYPES, RADII, st.floats(0, 1e300) | st.integers(0, 64).map(float))
def test_segments_equal_the_reference(
    data: st.DataObject, dtype: type[np.integer], radius: Radius, eps: float
) -> None:
    least = 0 if dtype is np.uint8 else -1
    numbers = st.lists(st.integers(least, 4), min_size=radius.size, max_size=radius.size)
    segment = np.array(data.draw(numbers), dtype)
    needed = np.array(data.draw(st.lists(st.integers(1, 9), min_size=5, max_size=5)), np.int64)
    same_certificates(segment, radius, eps, needed)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("eps", [0.0, 0.05, 0.7, 30.0, math.inf])
def test_segments_equal_the_reference_on_large_arrays(seed: int, eps: float) -> None:
    rng = np.random.default_rng(seed)
    segment = (rng.integers(-40, 60, 30_000) // (1 + seed)).astype(np.int32)
    radius = rng.exponential([0.02, 3.0][seed % 2], 30_000).astype(np.float32)
    same_certificates(segment, radius, eps, rng.integers(1, 2000, 60))


def test_a_segment_without_an_entry_is_refused() -> None:
    with pytest.raises(ValueError, match="segment number 3; expected below 2"):
        compiled.certify_segments(
            np.array([0, 3], np.int32), np.ones(2, np.float32), 0.1, np.array([1, 1])
        )
    with pytest.raises(ValueError, match="expected one and the same"):
        compiled.certify_segments(np.zeros(2, np.int32), np.ones(1, np.float32), 0.1, np.array([1]))


def same_labels(mask: npt.NDArray[np.uint8], min_area: int) -> None:
    found = compiled.label_regions(mask, min_area)
    expected = components.label_regions(mask, min_area)
    assert np.array_equal(found.number, expected.number)
    assert np.array_equal(found.boxes, expected.boxes)
    assert np.array_equal(found.area, expected.area)
    assert np.array_equal(found.class_id, expected.class_id)
    assert found.tiny_count == expected.tiny_count


@pytest.mark.parametrize("classes", [1, 2, 3, 19, 256])
@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (3, 8), (17, 33), (64, 70)])
def test_regions_equal_opencv(shape: tuple[int, int], classes: int) -> None:
    rng = np.random.default_rng(classes)
    for seed in range(12):
        noise = rng.integers(0, classes, shape).astype(np.uint8)
        block = 1 + seed % 4  # larger and larger regions, with jagged joints
        coarse = np.kron(noise, np.ones((block, block), np.uint8))[: shape[0], : shape[1]]
        flecks = np.where(rng.random(shape) < 0.1, noise, coarse)
        for min_area in (1, 2, 16):
            same_labels(np.ascontiguousarray(flecks), min_area)


def test_a_spiral_is_one_region() -> None:
    mask = np.zeros((41, 41), np.uint8)
    y, x, dy, dx, side = 0, 0, 0, 1, 40
    for length in [side, *[n for k in range(side, 0, -2) for n in (k, k)]]:
        for _ in range(length):
            mask[y, x] = 1
            y, x = y + dy, x + dx
        mask[y, x] = 1
        dy, dx = dx, -dy
    assert (compiled.label_regions(mask, 1).class_id == 1).sum() == 1
    same_labels(mask, 1)


def test_an_empty_mask_has_no_regions() -> None:
    found = compiled.label_regions(np.zeros((0, 5), np.uint8), 1)
    assert (found.number.shape, found.area.size, found.tiny_count) == ((0, 5), 0, 0)


def test_a_cut_out_of_a_mask() -> None:
    same_labels(np.random.default_rng(0).integers(0, 3, (40, 40)).astype(np.uint8)[3:30:2, 5:], 2)


LABEL = st.sampled_from([0, 1, 2, 255])
PIXEL = st.tuples(LABEL, st.integers(0, 2), SIXTEENTHS | USUAL | HUGE, SIXTEENTHS | USUAL | HUGE)


def same_frontier(
    truth: npt.NDArray[np.uint8],
    predicted: npt.NDArray[np.uint8],
    leave: Radius,
    join: Radius,
    eps: float,
) -> None:
    for class_id in (0, 1, 2, 7):
        found = compiled.iou_frontier(truth, predicted, leave, join, class_id, eps)
        expected = class_iou.iou_frontier(truth, predicted, leave, join, class_id, eps)
        assert (found.hits, found.union) == (expected.hits, expected.union)
        assert np.array_equal(found.lost, expected.lost)
        assert np.array_equal(found.gained, expected.gained)


@settings(max_examples=600, deadline=None)
@given(st.lists(PIXEL, min_size=1, max_size=14), st.floats(0, 4) | SIXTEENTHS)
def test_frontier_equals_the_reference(
    pixels: list[tuple[int, int, float, float]], eps: float
) -> None:
    truth, predicted, leave, join = zip(*pixels, strict=True)
    labels = np.array(truth, np.uint8), np.array(predicted, np.uint8)
    same_frontier(*labels, np.array(leave, np.float32), np.array(join, np.float32), eps)


@pytest.mark.parametrize("eps", [0.0, 0.3, 3.0, 1e3])
def test_frontier_equals_the_reference_on_an_image(eps: float) -> None:
    rng = np.random.default_rng(0)
    truth = rng.choice(np.array([0, 1, 2, 255], np.uint8), (120, 150))
    predicted = np.where(rng.random(truth.shape) < 0.8, truth % 3, 1).astype(np.uint8)
    leave = rng.exponential(0.05, truth.shape).astype(np.float32)
    join = leave + rng.exponential(0.05, truth.shape).astype(np.float32)
    same_frontier(truth, predicted, leave, join, eps)
    same_frontier(truth, predicted, leave, leave, eps)


@settings(max_examples=300, deadline=None)
@given(arrays(USUAL | SIXTEENTHS | HUGE, 40))
def test_cheapest_first_is_the_stable_order(radius: Radius) -> None:
    assert np.array_equal(compiled.cheapest_first(radius), np.argsort(radius, kind="stable"))


def test_cheapest_first_on_a_large_array() -> None:
    radius = quantised(np.random.default_rng(0), 100_000, 5000)
    assert np.array_equal(compiled.cheapest_first(radius), np.argsort(radius, kind="stable"))


@settings(max_examples=600, deadline=None)
@given(RADII, st.lists(EPS, max_size=5))
def test_the_count_equals_the_reference(radius: Radius, eps: list[float]) -> None:
    budgets = np.array(eps, np.float64)
    expected = certificate.count_flips(radius, budgets)
    assert np.array_equal(compiled.count_flips(radius, budgets), expected)
