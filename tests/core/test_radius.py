"""Radii against the geometry they stand for: the nearest point at which another class ties."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lipdeploy.core.radius import (
    joining_margin,
    margin_from_logits,
    pairwise_radius,
    radius_from_margin,
)


def test_radius_is_never_above_exact_arithmetic() -> None:
    rng = np.random.default_rng(1)
    margin = rng.exponential(0.3, 1000)
    lipschitz, slack = 1.0000123, 1e-3
    radius = radius_from_margin(margin, lipschitz, slack)
    for m, r in zip(margin, radius, strict=True):
        usable = max(Fraction(0), Fraction(float(m)) - 2 * Fraction(slack))
        assert 2 * Fraction(float(r)) ** 2 * Fraction(lipschitz) ** 2 <= usable**2
    assert (radius_from_margin(np.array([np.nan, -1.0, 0.0]), 1.0) == 0).all()


def test_margins_of_ties_one_pixel_and_one_class() -> None:
    logits = np.array([[1.0, 3.0], [1.0, 2.0], [0.0, -5.0]])
    assert margin_from_logits(logits).tolist() == [0.0, 1.0]
    assert margin_from_logits(np.array([2.0, 5.0])).tolist() == 3.0
    assert joining_margin(logits, 2).tolist() == [1.0, 8.0]
    with pytest.raises(ValueError, match="1 classes; expected 2"):
        margin_from_logits(np.ones((1, 4, 4)))
    with pytest.raises(ValueError, match="above 0"):
        radius_from_margin(np.ones(1), 0.0)


@settings(max_examples=300, deadline=None)
@given(st.integers(2, 5), st.integers(1, 4), st.integers(0, 10**6))
def test_pairwise_radius_is_the_distance_to_the_nearest_tie(
    classes: int, features: int, seed: int
) -> None:
    """One pixel with an identity as feature extractor: the hyperplane distance is the truth."""
    rng = np.random.default_rng(seed)
    weights, bias = rng.normal(size=(classes, features)), rng.normal(size=classes)
    point = rng.normal(size=features)
    logits = weights @ point + bias
    norm = float(np.linalg.norm(weights, 2))
    found = float(pairwise_radius(logits, weights, 1.0, norm))
    winner = int(logits.argmax())
    distances = {
        j: (logits[winner] - logits[j]) / np.linalg.norm(weights[winner] - weights[j])
        for j in range(classes)
        if j != winner
    }
    assert found == pytest.approx(min(distances.values()), rel=1e-12)
    nearest = min(distances, key=lambda j: distances[j])
    step = (weights[nearest] - weights[winner]) / np.linalg.norm(weights[nearest] - weights[winner])
    beyond = weights @ (point + found * (1 + 1e-9) * step) + bias
    assert beyond[nearest] >= beyond[winner] - 1e-9
    for _ in range(20):
        within = rng.normal(size=features)
        within *= found * (1 - 1e-9) / np.linalg.norm(within)
        assert int((weights @ (point + within) + bias).argmax()) == winner


def test_pairwise_radius_is_never_below_the_margin_form() -> None:
    rng = np.random.default_rng(3)
    weights = rng.normal(size=(4, 6))
    weights /= np.linalg.norm(weights, 2)
    logits = rng.normal(size=(4, 8, 8))
    pairwise = pairwise_radius(logits, weights, 1.0, 1.0, slack=0.01)
    plain = radius_from_margin(margin_from_logits(logits), 1.0, 0.01)
    assert pairwise.shape == (8, 8)
    assert (pairwise >= plain).all()
    assert (pairwise > plain).any()
    # Where the features are known to be worse than the logits, the margin form remains.
    assert np.array_equal(pairwise_radius(logits, weights, 100.0, 1.0, slack=0.01), plain)


def test_pairwise_radius_of_equal_rows_ties_and_nonsense() -> None:
    same = np.array([[1.0, 0.0], [1.0, 0.0]])
    assert math.isinf(float(pairwise_radius(np.array([2.0, 1.0]), same, 1.0, 1.0)))
    assert float(pairwise_radius(np.array([1.0, 1.0]), same, 1.0, 1.0)) == 0.0
    assert float(pairwise_radius(np.array([np.nan, 1.0]), same, 1.0, 1.0)) == 0.0
    with pytest.raises(ValueError, match="2 rows; the logits 3 classes"):
        pairwise_radius(np.zeros(3), same, 1.0, 1.0)
    with pytest.raises(ValueError, match="above 0"):
        pairwise_radius(np.zeros(2), same, 0.0, 1.0)


def test_pairwise_radii_of_pixels_with_shared_features_do_not_add_up() -> None:
    """Why a pixel-shuffle head must not use it: two pixels read one feature, one change moves both.

    The knapsack would charge sqrt(2) times the radius; the attack pays it once.
    """
    weights = np.array([[1.0], [-1.0]])
    feature = 0.5
    logits = np.repeat(weights * feature, 2, axis=1)
    radius = pairwise_radius(logits, weights, 1.0, math.sqrt(2))
    assert radius == pytest.approx([0.5, 0.5])
    assert math.sqrt(float((radius**2).sum())) > 0.5  # what both would cost, wrongly
    attacked = weights * (feature - 0.5)
    assert attacked[0] == attacked[1]  # both pixels tie already
