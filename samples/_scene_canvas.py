"""Four-channel canvas: every fill writes colour and class id together."""

from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Bytes = npt.NDArray[np.uint8]
Fixed = npt.NDArray[np.int32]  # pixel coordinates in 1/16 pixel
Colour = tuple[float, float, float]

SKY, BUILDING, VEGETATION, ROAD, SIDEWALK, CAR, PERSON = range(7)

_SHIFT = 4
_SUBPIXELS = float(1 << _SHIFT)
_LIMIT = 60_000.0


def fixed_point(points: Floats) -> Fixed:
    """Convert pixel coordinates to the fixed-point form OpenCV fills with.

    Args:
        points: Pixel coordinates, shape (..., 2), in (u, v) order.

    Returns:
        Coordinates in 1/16 pixel, same shape, clamped against overflow.
    """
    clipped = np.minimum(np.maximum(points, -_LIMIT), _LIMIT)
    return (clipped * _SUBPIXELS).astype(np.int32)


class Canvas:
    """Image and label map in one array, so both always share their edges."""

    def __init__(self, height: int, width: int) -> None:
        """Create an empty canvas.

        Args:
            height: Rows in pixels.
            width: Columns in pixels.
        """
        self.height = height
        self.width = width
        self.pixels: Bytes = np.zeros((height, width, 4), np.uint8)

    def fill(self, points: Floats, colour: Colour, label: int) -> None:
        """Fill one polygon of any shape.

        Args:
            points: Pixel corners, shape (N, 2).
            colour: RGB, each 0..255.
            label: Class id 0..6.
        """
        cv2.fillPoly(self.pixels, [fixed_point(points)], (*colour, label), shift=_SHIFT)

    def fill_convex(self, points: Floats, colour: Colour, label: int) -> None:
        """Fill one convex polygon (faster than `fill`).

        Args:
            points: Pixel corners, shape (N, 2).
            colour: RGB, each 0..255.
            label: Class id 0..6.
        """
        self.fill_fixed(fixed_point(points), colour, label)

    def fill_fixed(self, corners: Fixed, colour: Colour, label: int) -> None:
        """Fill one convex polygon that is in fixed-point form already.

        Args:
            corners: What `fixed_point` returned, shape (N, 2).
            colour: RGB, each 0..255.
            label: Class id 0..6.
        """
        cv2.fillConvexPoly(self.pixels, corners, (*colour, label), shift=_SHIFT)

    def fill_each(self, polygons: Floats, colour: Colour, label: int) -> None:
        """Fill several equally sized convex polygons with one colour.

        Args:
            polygons: Pixel corners, shape (K, N, 2).
            colour: RGB, each 0..255.
            label: Class id 0..6.
        """
        scalar = (*colour, label)
        for corners in fixed_point(polygons):
            cv2.fillConvexPoly(self.pixels, corners, scalar, shift=_SHIFT)


class Sketch(NamedTuple):
    """What a thing shows: corners to project, and how to paint once they are pixels.

    Things hand out their corners before anything is painted, so that one call
    projects the corners of a whole picture.
    """

    points: Floats  # (N, 3): lateral, up, along the road in metres
    paint: Callable[[Canvas, Floats], None]  # takes the same corners in pixels, (N, 2)


def darken(shade: Bytes, corners: Fixed, value: int) -> None:
    """Fill a polygon in a one-channel shade map.

    Args:
        shade: Shade map, shape (H, W), 255 is unshaded; changed in place.
        corners: Corners in fixed-point form, shape (N, 2).
        value: New shade, 0..255.
    """
    cv2.fillPoly(shade, [corners], (float(value),), shift=_SHIFT)
