"""Where a label fits into a region, by the compiled core where it is there, else by OpenCV."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

try:
    from lipdeploy import _native
except ImportError:  # built without a compiler
    COMPILED = False
else:
    COMPILED = True

Window = tuple[int, int, int, int]


def deepest_box(
    number: npt.NDArray[np.int32], region: int, window: Window, box: tuple[int, int]
) -> tuple[int, int] | None:
    """The centre of a box inside a region, as far from all that is not the region as can be.

    Args:
        number: region of each pixel, shape (H, W).
        region: number of the region.
        window: x, y, width, height of the part of the image to look at; what is beyond counts as
            outside the region.
        box: rows and columns of the box, both odd.

    Returns:
        Row and column in the window; None where the box fits nowhere.
    """
    if not COMPILED:
        return deepest_box_by_opencv(number, region, window, box)
    return _native.deepest_box(np.ascontiguousarray(number), region, window, box)


def deepest_box_by_opencv(
    number: npt.NDArray[np.int32], region: int, window: Window, box: tuple[int, int]
) -> tuple[int, int] | None:
    """The reference of `deepest_box`."""
    x, y, width, height = window
    if not (width and height):
        return None
    inside = (number[y : y + height, x : x + width] == region).view(np.uint8)
    walled = cv2.copyMakeBorder(inside, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    fits = cv2.erode(walled, np.ones(box, np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=0)
    if not fits.any():
        return None
    depth = cv2.distanceTransform(walled, cv2.DIST_L2, 3) * fits
    row, column = np.unravel_index(int(np.argmax(depth)), depth.shape)
    return int(row) - 1, int(column) - 1
