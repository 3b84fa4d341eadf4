"""Class weights against sums done by hand."""

from __future__ import annotations

import numpy as np
import pytest

from lipdeploy.training.data import SCHEMES, Examples, Scheme, class_weights


def of(*masks: list[int]) -> Examples:
    rows = np.array(masks, np.uint8)[:, None, :]
    return Examples(np.zeros((*rows.shape, 3), np.uint8), rows)


# Class 0: 10 of 12 + 4 pixels. Class 1: 2 of 12. Class 2: 4 of 4. Ignored pixels are not there.
THREE = of([0] * 8 + [1] * 2 + [255] * 2, [0] * 2 + [255] * 10, [2] * 4 + [255] * 8)


def test_median_frequency() -> None:
    # f = 10/12, 2/10, 4/4; their median is 10/12. Pixels: 10, 2, 4 of 16.
    raw = np.array([1, (10 / 12) / (2 / 10), 10 / 12])
    expected = raw / (raw @ np.array([10, 2, 4]) / 16)
    assert class_weights(THREE, 3, "median-frequency") == pytest.approx(expected)


def test_inverse_square_root_of_the_frequency() -> None:
    raw = np.array([16 / 10, 16 / 2, 16 / 4]) ** 0.5
    expected = raw / (raw @ np.array([10, 2, 4]) / 16)
    assert class_weights(THREE, 3, "inverse-sqrt-frequency") == pytest.approx(expected)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_labelled_pixels_have_mean_weight_one(scheme: Scheme) -> None:
    weights = class_weights(THREE, 3, scheme)
    assert weights @ np.array([10, 2, 4]) / 16 == pytest.approx(1)
    if scheme == "none":
        assert weights.tolist() == [1, 1, 1]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_class_that_never_occurs_has_weight_one(scheme: Scheme) -> None:
    weights = class_weights(THREE, 5, scheme)
    assert weights[3:].tolist() == [1, 1]
    assert weights[:3] == pytest.approx(class_weights(THREE, 3, scheme))
    assert class_weights(of([255, 255]), 2, scheme).tolist() == [1, 1]
