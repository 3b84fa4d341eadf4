"""Resizing an image to the network's input, and what that does to an l2 budget.

The interpolation is linear and separable, so its operator norm is the product of the norms of two
small matrices. Its result is rounded to 8 bits, though, which alone moves the image by up to
sqrt(3 H W) / 255 / 2 in l2: where a frame is resized, no budget at the source is claimed.
"""

from __future__ import annotations

import functools

import cv2
import numpy as np
import numpy.typing as npt


def interpolation_of(source: tuple[int, int], target: tuple[int, int]) -> int:
    """INTER_AREA where no side grows, else INTER_LINEAR. Sizes are (height, width)."""
    shrinks = target[0] <= source[0] and target[1] <= source[1]
    return cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR


def resized(image: npt.NDArray[np.uint8], height: int, width: int) -> npt.NDArray[np.uint8]:
    """The image at the network's size, rounded to 8 bits; itself where the size fits.

    Shape: (h, w, 3) to (height, width, 3).
    """
    if image.shape[:2] == (height, width):
        return image
    how = interpolation_of((image.shape[0], image.shape[1]), (height, width))
    return np.asarray(cv2.resize(image, (width, height), interpolation=how), np.uint8)


def resized_labels(labels: npt.NDArray[np.uint8], height: int, width: int) -> npt.NDArray[np.uint8]:
    """Class ids at the network's size, by nearest neighbour: (h, w) to (height, width)."""
    how = cv2.INTER_NEAREST_EXACT  # pixel centres, as in the image; INTER_NEAREST shifts by half
    return np.asarray(cv2.resize(labels, (width, height), interpolation=how), np.uint8)


@functools.lru_cache(maxsize=16)
def resize_norm(source: tuple[int, int], target: tuple[int, int]) -> float:
    """Largest factor by which the interpolation (without its rounding) can stretch an l2 norm.

    Args:
        source: (height, width) of the frame.
        target: (height, width) of the network's input.
    """
    how = interpolation_of(source, target)
    norms = [
        float(np.linalg.norm(_matrix(before, after, how), 2))
        for before, after in zip(source, target, strict=True)
    ]
    return norms[0] * norms[1]


def _matrix(before: int, after: int, how: int) -> npt.NDArray[np.float64]:
    """The 1-D interpolation as a matrix, shape (after, before): rows of the identity, resized."""
    columns = cv2.resize(np.eye(before, dtype=np.float32), (after, before), interpolation=how)
    return np.asarray(columns, np.float64).T


def eps_at_source(
    eps: float, source: tuple[int, int], target: tuple[int, int]
) -> tuple[float | None, str]:
    """The budget at the source frame, and why there is none.

    Returns:
        `(eps, "")` where the frame is not resized, else `(None, reason)`.
    """
    if source == target:
        return eps, ""
    return None, (
        f"frame {source[1]}x{source[0]} is resized to {target[1]}x{target[0]} "
        f"(l2 norm {resize_norm(source, target):.4f}) and rounded to 8 bits, "
        "which no budget at the source covers"
    )
