"""Worst class IoU against every attack, on one image and on small data sets."""

import itertools
import math
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lipdeploy.core.class_iou import (
    iou_frontier,
    pixelwise_class_iou,
    worst_class_iou,
    worst_dataset_iou,
)
from lipdeploy.core.ratio import WorstRatio, ratio_down, shares_down, shares_up

PIXEL = st.tuples(
    st.sampled_from([0, 1, 2, 255]), st.integers(0, 2), st.integers(0, 10), st.integers(0, 10)
)
EPS = st.integers(0, 16).map(lambda k: k / 8)
Image = list[tuple[int, int, int, int]]


def arrays(pixels: Image) -> tuple[npt.NDArray[Any], ...]:
    """truth, predicted, leave, join; joining another class never costs less than leaving."""
    truth, predicted, leave, extra = (np.array(column) for column in zip(*pixels, strict=True))
    return truth, predicted, leave / 8, (leave + extra) / 8


def reachable(pixels: Image, class_id: int, eps: float) -> list[tuple[int, int]]:
    """(hits, union) of every attack that fits: each pixel stays, leaves, or joins the class."""
    truth, predicted, leave, join = arrays(pixels)
    options = []
    for t, p, out, into in zip(truth, predicted, leave, join, strict=True):
        if t == 255:
            continue
        inside = p == class_id
        # state: does the pixel count as class_id after the attack, and what does that cost
        moves = [(inside, Fraction(0)), (not inside, Fraction(float(out if inside else into)) ** 2)]
        options.append([(t == class_id, state, cost) for state, cost in moves])
    found = []
    for choice in itertools.product(*options):
        if sum((c for _, _, c in choice), Fraction(0)) <= Fraction(eps) ** 2:
            hits = sum(1 for positive, state, _ in choice if positive and state)
            union = sum(1 for positive, state, _ in choice if positive or state)
            found.append((hits, union))
    return found


@settings(max_examples=1500, deadline=None)
@given(st.lists(PIXEL, min_size=1, max_size=7), EPS)
def test_worst_iou_is_the_minimum_over_all_attacks(pixels: Image, eps: float) -> None:
    truth, predicted, leave, join = arrays(pixels)
    found = worst_class_iou(truth, predicted, leave, join, 1, eps)
    ratios = [h / u for h, u in reachable(pixels, 1, eps) if u]
    if not ratios:
        assert math.isnan(found)
    else:
        assert found == pytest.approx(min(ratios), abs=1e-12)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.lists(PIXEL, min_size=1, max_size=4), min_size=1, max_size=3), EPS)
def test_data_set_iou_is_the_minimum_over_all_combinations(images: list[Image], eps: float) -> None:
    frontiers = []
    for pixels in images:
        truth, predicted, leave, join = arrays(pixels)
        frontiers.append(iou_frontier(truth, predicted, leave, join, 1, eps))
    found = worst_dataset_iou(frontiers)
    totals = [
        (sum(h for h, _ in choice), sum(u for _, u in choice))
        for choice in itertools.product(*(set(reachable(pixels, 1, eps)) for pixels in images))
    ]
    ratios = [h / u for h, u in totals if u]
    if not ratios:
        assert math.isnan(found)
    else:
        assert found == pytest.approx(min(ratios), abs=1e-12)


@settings(max_examples=150, deadline=None)
@given(st.lists(PIXEL, min_size=1, max_size=7), EPS)
def test_leaving_radius_in_place_of_the_joining_one_is_sound(pixels: Image, eps: float) -> None:
    truth, predicted, leave, join = arrays(pixels)
    exact = worst_class_iou(truth, predicted, leave, join, 1, eps)
    loose = worst_class_iou(truth, predicted, leave, leave, 1, eps)
    assert math.isnan(exact) or loose <= exact


def test_the_printed_costs_would_over_claim() -> None:
    """Margins in place of radii (no 1 / sqrt(2)): the budget seems to buy half as many pixels."""
    truth = predicted = np.ones(8, np.int64)
    margin = np.full(8, 0.5)
    right = worst_class_iou(truth, predicted, margin / math.sqrt(2), margin, 1, 0.7072)
    printed = worst_class_iou(truth, predicted, margin, margin, 1, 0.7072)
    assert (right, printed) == (0.5, 0.75)


@settings(max_examples=200, deadline=None)
@given(st.lists(PIXEL, min_size=1, max_size=7), EPS)
def test_pixelwise_iou_moves_every_pixel_that_can(pixels: Image, eps: float) -> None:
    truth, predicted, leave, join = arrays(pixels)
    known = truth != 255
    hits = known & (truth == 1) & (predicted == 1) & (leave > eps)
    may_join = known & (truth != 1) & (predicted != 1) & (join <= eps)
    union = int((known & ((truth == 1) | (predicted == 1) | may_join)).sum())
    found = pixelwise_class_iou(truth, predicted, leave, join, 1, eps)
    assert math.isnan(found) if union == 0 else found == pytest.approx(int(hits.sum()) / union)
    worst = worst_class_iou(truth, predicted, leave, join, 1, eps)
    assert math.isnan(worst) or found <= worst + 1e-12


def test_the_ratio_is_exact_beyond_64_bits() -> None:
    """Sums of the size of a large data set: products of two of them do not fit into an int64."""
    huge = 10**11
    items = [(huge, 2 * huge + 1, [0, huge // 2], [0, 1]), (huge, 3 * huge, [0, 5], [huge, 0])]
    search = WorstRatio()
    while True:
        for above, below, lost, gained in items:
            search.add(above, below, np.array(lost), np.array(gained))
        if search.finish_round():
            break
    exact = min(
        Fraction(
            sum(i[0] - i[2][c] for i, c in zip(items, choice, strict=True)),
            sum(i[1] + i[3][c] for i, c in zip(items, choice, strict=True)),
        )
        for choice in itertools.product((0, 1), repeat=2)
    )
    assert search.value == ratio_down(exact.numerator, exact.denominator)
    assert Fraction(search.value) <= exact


def test_ratios_are_rounded_down() -> None:
    for above, below in [(1, 3), (2, 3), (1, 10), (7, 9), (1, 1), (0, 5)]:
        found = ratio_down(above, below)
        assert Fraction(found) <= Fraction(above, below) < Fraction(math.nextafter(found, 2.0))


def test_shares_are_rounded_against_us() -> None:
    counts = np.arange(0, 98)
    for below in (97, 98, 3 * 2**40 + 1):
        down, up = shares_down(counts, below), shares_up(counts, below)
        for n, low, high in zip(counts.tolist(), down.tolist(), up.tolist(), strict=True):
            assert Fraction(low) <= Fraction(n, below) <= Fraction(high)
            assert high <= math.nextafter(low, 2.0)
