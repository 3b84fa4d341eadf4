"""The warp against brute force in float64; jitter against its formula."""

from __future__ import annotations

import numpy as np
import pytest

from lipdeploy.training.data import Augmentation

RNG = np.random.default_rng(0)


def mirrored(index: np.ndarray, size: int) -> np.ndarray:
    """Border reflection without repeating the edge: ... 2 1 | 0 1 2 ... n-1 | n-2 ..."""
    period = 2 * (size - 1)
    index = np.abs(index) % period
    return np.where(index < size, index, period - index)


def reference(
    image: np.ndarray, mask: np.ndarray, matrix: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Bilinear image, nearest labels, and where the nearest is clear, pixel by pixel."""
    height, width = mask.shape
    ys, xs = np.mgrid[0:height, 0:width]
    source = np.linalg.inv(matrix[:, :2]) @ (np.stack([xs.ravel(), ys.ravel()]) - matrix[:, 2:])
    x, y = source.reshape(2, height, width)
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    warped = np.zeros(image.shape)
    for dy in (0, 1):
        for dx in (0, 1):
            weight = (1 - np.abs(x - left - dx)) * (1 - np.abs(y - top - dy))
            pixels = image[mirrored(top + dy, height), mirrored(left + dx, width)]
            warped += weight[..., None] * pixels
    column, row = np.rint(x).astype(int), np.rint(y).astype(int)
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    labels = np.where(inside, mask[row.clip(0, height - 1), column.clip(0, width - 1)], 255)
    clear = np.maximum(np.abs(x - column), np.abs(y - row)) < 0.45
    return warped, labels, clear


def smooth_image(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[0:height, 0:width]
    waves = [np.sin(x / a + c) * np.cos(y / b) for a, b, c in ((5, 7, 0), (6, 5, 1), (9, 6, 2))]
    return np.stack([127 + 120 * wave for wave in waves], -1).astype(np.uint8)


@pytest.mark.parametrize("seed", range(12))
def test_the_warp_is_that_of_brute_force(seed: int) -> None:
    image = smooth_image(40, 56)
    mask = RNG.integers(0, 5, (40, 56)).astype(np.uint8)
    warp = Augmentation(flip_vertical=0.5, rotate_degrees=45)
    matrix = warp.matrix(40, 56, np.random.default_rng(seed))
    moved, labels = warp(image, mask, np.random.default_rng(seed))
    expected, expected_labels, clear = reference(image, mask, matrix)
    # OpenCV rounds the place to 1/32 of a pixel; this image changes by 24 a pixel at most.
    assert np.abs(moved - expected).max() < 3
    assert clear.mean() > 0.7
    assert np.array_equal(labels[clear], expected_labels[clear])
    assert set(np.unique(labels)) <= {0, 1, 2, 3, 4, 255}


@pytest.mark.parametrize(
    ("flips", "expected"),
    [
        ((0, 0), np.s_[:, :]),
        ((1, 0), np.s_[:, ::-1]),
        ((0, 1), np.s_[::-1]),
        ((1, 1), np.s_[::-1, ::-1]),
    ],
)
def test_flips_alone_move_no_grey_level(
    flips: tuple[int, int], expected: tuple[slice, ...]
) -> None:
    image = RNG.integers(0, 256, (11, 14, 3)).astype(np.uint8)
    mask = RNG.integers(0, 3, (11, 14)).astype(np.uint8)
    warp = Augmentation(*flips, rotate_degrees=0, scale=(1, 1))
    moved, labels = warp(image, mask, np.random.default_rng(0))
    assert np.array_equal(moved, image[expected])
    assert np.array_equal(labels, mask[expected])


@pytest.mark.parametrize("seed", range(5))
def test_a_zoom_of_two_is_a_crop_and_one_of_a_half_leaves_three_quarters_ignored(seed: int) -> None:
    mask = np.zeros((40, 40), np.uint8)
    image = smooth_image(40, 40)
    draw = np.random.default_rng(seed)
    _, inside = Augmentation(scale=(2, 2), rotate_degrees=0)(image, mask, draw)
    assert (inside == 0).all()
    _, outside = Augmentation(scale=(0.5, 0.5), rotate_degrees=0)(image, mask, draw)
    assert (outside == 0).sum() == pytest.approx(400, abs=45)
    assert set(np.unique(outside)) == {0, 255}


def test_jitter_is_off_by_default_and_leaves_warp_and_labels_alone() -> None:
    image, mask = smooth_image(16, 16), RNG.integers(0, 3, (16, 16)).astype(np.uint8)
    plain, labels = Augmentation()(image, mask, np.random.default_rng(3))
    jitter = Augmentation(brightness=0.2, contrast=0.4)
    changed, same = jitter(image, mask, np.random.default_rng(3))
    assert np.array_equal(labels, same)
    rng = np.random.default_rng(3)
    jitter.matrix(16, 16, rng)
    gain, shift = 1 + rng.uniform(-0.4, 0.4), 255 * rng.uniform(-0.2, 0.2)
    expected = np.clip((plain.astype(float) - 127.5) * gain + 127.5 + shift, 0, 255)
    assert np.abs(changed - expected).max() <= 0.5
    assert not np.array_equal(changed, plain)
