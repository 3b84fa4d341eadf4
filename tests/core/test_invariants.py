"""What must not change a certificate, and the direction in which a budget changes it."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lipdeploy.core.class_iou import iou_frontier, worst_class_iou, worst_dataset_iou
from lipdeploy.core.objectives import kept_share, worst_fnr
from lipdeploy.core.radius import margin_from_logits, pairwise_radius, radius_from_margin
from lipdeploy.core.ranking import rank
from lipdeploy.core.segments import certify_segments

EPS = [0.0, 0.05, 0.1, 0.25, 0.5, 1.0, 4.0]
SEEDS = st.integers(0, 2**32 - 1)


def image(seed: int) -> tuple[npt.NDArray[Any], ...]:
    """truth with ignored pixels, predicted, radius with ties, zeros and infinities."""
    rng = np.random.default_rng(seed)
    truth = rng.choice([0, 1, 2, 255], 60)
    predicted = np.where(rng.random(60) < 0.7, np.minimum(truth, 2), rng.integers(0, 3, 60))
    radius = rng.choice([0.0, 0.125, 0.25, np.inf, 0.3, 0.01], 60).astype(np.float32)
    return truth, predicted, radius


def figures(truth: Any, predicted: Any, radius: Any) -> list[Any]:
    """Every figure of an image under every budget, worst first where eps grows."""
    ranking = rank(truth, predicted, radius)
    eps = np.array(EPS)
    return [
        kept_share(ranking.accuracy(), eps).tolist(),
        kept_share(ranking.stability(), eps).tolist(),
        *((1 - worst_fnr(ranking.class_accuracy(k), eps)).tolist() for k in range(3)),
        *([f.worst() for f in ranking.class_iou(k).frontiers(EPS)] for k in range(3)),
        *([ranking.class_iou(k).pixelwise(e) for e in EPS] for k in range(3)),
    ]


@settings(max_examples=300, deadline=None)
@given(SEEDS)
def test_no_figure_improves_with_eps(seed: int) -> None:
    for series in figures(*image(seed)):
        assert (np.diff(series) <= 0).all()


@settings(max_examples=300, deadline=None)
@given(SEEDS)
def test_the_order_of_pixels_changes_nothing(seed: int) -> None:
    truth, predicted, radius = image(seed)
    order = np.random.default_rng(seed).permutation(60)
    assert figures(truth, predicted, radius) == figures(
        truth[order], predicted[order], radius[order]
    )


@settings(max_examples=300, deadline=None)
@given(SEEDS)
def test_ignored_pixels_change_nothing(seed: int) -> None:
    truth, predicted, radius = image(seed)
    known = truth != 255
    assert figures(truth, predicted, radius) == figures(
        truth[known], predicted[known], radius[known]
    )


@settings(max_examples=300, deadline=None)
@given(SEEDS)
def test_the_order_of_images_changes_nothing(seed: int) -> None:
    images = [image(seed + i) for i in range(4)]
    for eps in EPS:
        frontiers = [iou_frontier(t, p, r, r, 1, eps) for t, p, r in images]
        assert worst_dataset_iou(frontiers) == worst_dataset_iou(frontiers[::-1])


@settings(max_examples=300, deadline=None)
@given(SEEDS, st.integers(-20, 20))
def test_scaling_logits_and_constant_together_changes_nothing(seed: int, exponent: int) -> None:
    """By a power of two to the last bit; by another factor up to the rounding of the product."""
    rng = np.random.default_rng(seed)
    logits, rows = rng.normal(size=(4, 30)), rng.normal(size=(4, 5))
    margin, scale = margin_from_logits(logits), 2.0**exponent
    plain = radius_from_margin(margin, 1.1, slack=0.01)
    assert np.array_equal(plain, radius_from_margin(margin * scale, 1.1 * scale, 0.01 * scale))
    assert radius_from_margin(margin * 3, 3.3, 0.03) == pytest.approx(plain, rel=1e-12, abs=1e-13)
    pairwise = pairwise_radius(logits, rows, 1.2, 9.0)
    assert np.array_equal(pairwise, pairwise_radius(logits * scale, rows, 1.2 * scale, 9 * scale))


@settings(max_examples=300, deadline=None)
@given(SEEDS)
def test_segments_by_eps_and_in_any_order(seed: int) -> None:
    _, segment, radius = image(seed)
    needed = np.array([1, 5, 9])
    order = np.random.default_rng(seed).permutation(60)
    before = np.zeros(3, np.int64)
    for eps in EPS:
        found = certify_segments(segment, radius, eps, needed)
        mixed = certify_segments(segment[order], radius[order], eps, needed)
        assert found.flips.tolist() == mixed.flips.tolist()
        assert found.budget.tolist() == mixed.budget.tolist()
        assert (found.flips >= before).all()
        before = found.flips


@settings(max_examples=300, deadline=None)
@given(SEEDS)
def test_a_larger_radius_never_makes_a_figure_worse(seed: int) -> None:
    truth, predicted, radius = image(seed)
    for low, high in zip(
        figures(truth, predicted, radius), figures(truth, predicted, radius * 2), strict=True
    ):
        assert all(b >= a or np.isnan(a) for a, b in zip(low, high, strict=True))


def test_worst_class_iou_of_images_without_the_class() -> None:
    truth, predicted = np.zeros((2, 2), int), np.zeros((2, 2), int)
    far = np.full((2, 2), 1.0)
    assert np.isnan(worst_class_iou(truth, predicted, far, far, 3, 0.5))
    assert worst_class_iou(truth, predicted, far, far, 3, 1.0) == 0.0
    assert worst_class_iou(truth, predicted, far, far, 0, 1.0) == 0.75
