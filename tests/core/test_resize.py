"""The resize's norm against a dense singular value decomposition of the whole operator."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from lipdeploy.core.resize import (
    eps_at_source,
    interpolation_of,
    resize_norm,
    resized,
    resized_labels,
)

SIZES = [
    ((12, 10), (6, 5)),
    ((12, 10), (7, 9)),
    ((6, 5), (12, 10)),
    ((8, 8), (9, 6)),
    ((9, 7), (4, 14)),
    ((1, 1), (5, 3)),
]


@pytest.mark.parametrize(("source", "target"), SIZES)
def test_norm_equals_dense_svd(source: tuple[int, int], target: tuple[int, int]) -> None:
    how = interpolation_of(source, target)
    columns = []
    for pixel in range(source[0] * source[1]):
        unit = np.zeros(source[0] * source[1], np.float32)
        unit[pixel] = 1
        out = cv2.resize(unit.reshape(source), target[::-1], interpolation=how)
        columns.append(out.ravel().astype(np.float64))
    dense = np.linalg.svd(np.stack(columns, 1), compute_uv=False)[0]
    assert resize_norm(source, target) == pytest.approx(dense, rel=1e-5)


def test_known_norm() -> None:
    assert resize_norm((120, 120), (128, 128)) == pytest.approx(1.07, abs=0.01)
    assert resize_norm((64, 64), (32, 32)) == pytest.approx(0.5)


def test_same_size_is_the_same_picture() -> None:
    image = np.zeros((8, 6, 3), np.uint8)
    assert resized(image, 8, 6) is image
    assert resize_norm((8, 6), (8, 6)) == pytest.approx(1.0)
    assert eps_at_source(0.25, (8, 6), (8, 6)) == (0.25, "")


def test_no_claim_at_the_source_of_a_resized_frame() -> None:
    eps, reason = eps_at_source(0.25, (16, 12), (8, 6))
    assert eps is None
    assert "12x16 is resized to 6x8 (l2 norm 0.5000) and rounded to 8 bits" in reason


def test_shape() -> None:
    assert resized(np.zeros((8, 6, 3), np.uint8), 5, 7).shape == (5, 7, 3)


@pytest.mark.parametrize(("source", "target"), [((9, 12), (5, 7)), ((360, 480), (144, 192))])
def test_labels_are_those_at_the_pixel_centres(
    source: tuple[int, int], target: tuple[int, int]
) -> None:
    """Where the image's interpolation has its centre too; flooring corners would shift by half."""
    labels = np.random.default_rng(0).integers(0, 20, source).astype(np.uint8)
    rows, columns = (
        np.floor((np.arange(t) + 0.5) * s / t).astype(int)
        for s, t in zip(source, target, strict=True)
    )
    assert np.array_equal(resized_labels(labels, *target), labels[rows][:, columns])
