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

from lipdeploy.core.class_iou import iou_frontier, worst_class_iou, worst_dataset_iou

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


@settings(max_examples=400, deadline=None)
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
