"""Class colours over a frame: solid where stable, grey and hatched where not."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from lipdeploy.runtime.palette import class_colour, is_tinted

_STABLE, _LOOSE, _STRIPE = 0, 1, 2  # what a pixel's code adds to 3 * (place of its class)
_STATES = 3
_EDGE = 255
_PLACES = _EDGE // _STATES  # classes that one picture can tell apart
_ALPHA = {_STABLE: 0.6, _LOOSE: 0.14, _STRIPE: 0.46}
_EDGE_ALPHA = 0.75
_GREY = 0.55  # how much of a colour's saturation is lost where it is not stable

Image = npt.NDArray[np.uint8]


class Tint:
    """Blends class colours into frames by look-up; all arrays are uint8.

    Args:
        class_names: of the model, by class id.
    """

    def __init__(self, class_names: Sequence[str]) -> None:
        # Classes beyond the places share the last one's colour; the legend still names each.
        place = np.minimum(np.arange(256), min(len(class_names), _PLACES) - 1)
        self._code_of_class = (place * _STATES).astype(np.uint8)
        self._colour, self._rest = _tables(class_names)
        self._is_loose = (np.arange(256) % _STATES == _LOOSE).astype(np.uint8)
        self._cross = np.ones((3, 3), np.uint8)
        self._hatch = np.zeros((0, 0), np.uint8)

    def blend(
        self, image: Image, mask: Image, stable: npt.NDArray[np.bool_], outline: bool = True
    ) -> Image:
        """The frame with its classes in colour.

        Args:
            image: RGB, shape (H, W, 3).
            mask: class ids, shape (h, w), at the network's resolution.
            stable: pixels to draw solid, shape (h, w).
            outline: draw the border of the larger stable areas.
        """
        size = (image.shape[1], image.shape[0])
        small = cv2.add(cv2.LUT(mask, self._code_of_class), (~stable).view(np.uint8))
        code = cv2.resize(small, size, interpolation=cv2.INTER_NEAREST)
        loose = cv2.LUT(code, self._is_loose)
        code = cv2.add(code, cv2.bitwise_and(loose, self._hatch_of(size)))
        if outline:
            code = cv2.copyTo(np.full_like(code, _EDGE), self._outline(stable, size), code)
        rest = cv2.LUT(code, self._rest)
        left = cv2.multiply(image, cv2.merge([rest, rest, rest]), scale=1 / 255)
        return np.asarray(cv2.add(left, cv2.applyColorMap(code, self._colour)), np.uint8)

    def _outline(self, stable: npt.NDArray[np.bool_], size: tuple[int, int]) -> Image:
        """The border between stable and not, left out around flecks of under 3x3 pixels."""
        loose = (~stable).view(np.uint8)
        for step in (cv2.MORPH_OPEN, cv2.MORPH_CLOSE):
            loose = np.asarray(cv2.morphologyEx(loose, step, self._cross), np.uint8)
        large = cv2.resize(loose, size, interpolation=cv2.INTER_NEAREST)
        return np.asarray(cv2.morphologyEx(large, cv2.MORPH_GRADIENT, self._cross), np.uint8)

    def _hatch_of(self, size: tuple[int, int]) -> Image:
        """Diagonal stripes of ones, shape (H, W); their width grows with the frame."""
        if self._hatch.shape != (size[1], size[0]):
            period = stripe_period(min(size))
            diagonal = np.add.outer(np.arange(size[1]), np.arange(size[0])) % period
            self._hatch = (diagonal < max(1, period * 2 // 5)).astype(np.uint8)
        return self._hatch


def stripe_period(shorter_side: int) -> int:
    """Distance of the hatching's stripes along a row, in pixels."""
    return max(6, round(shorter_side / 40))


def state_colour(name: str, state: int) -> tuple[npt.NDArray[np.float64], float]:
    """RGB and opacity of a class in a state."""
    colour = np.asarray(class_colour(name), np.float64)
    if not is_tinted(name):
        return np.full(3, 205.0), 0.30 if state == _STRIPE else 0.0
    if state != _STABLE:
        colour = colour * (1 - _GREY) + colour.mean() * _GREY
    return colour, _ALPHA[state]


def _tables(class_names: Sequence[str]) -> tuple[Image, Image]:
    """Colour times opacity (256, 1, 3), and what is left of the frame (256,), of each code."""
    colour = np.zeros((256, 1, 3))
    rest = np.full(256, 255.0)
    for place, name in enumerate(class_names[:_PLACES]):
        for state in (_STABLE, _LOOSE, _STRIPE):
            rgb, alpha = state_colour(name, state)
            colour[place * _STATES + state, 0] = rgb * alpha
            rest[place * _STATES + state] = 255 * (1 - alpha)
    colour[_EDGE], rest[_EDGE] = 255 * _EDGE_ALPHA, 255 * (1 - _EDGE_ALPHA)
    return colour.round().astype(np.uint8), np.floor(rest).astype(np.uint8)
