"""Class colours over a frame: solid where stable, grey and hatched where not."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from lipdeploy.runtime.blending import Colours, blended
from lipdeploy.runtime.palette import class_colour, is_tinted

_STABLE, _LOOSE, _STRIPE = 0, 1, 2  # what a pixel's code adds to 3 * (place of its class)
_STATES = 3
_EDGE = 255
_PLACES = _EDGE // _STATES  # classes that one picture can tell apart
_ALPHA = {_STABLE: 0.6, _LOOSE: 0.14, _STRIPE: 0.46}
_EDGE_ALPHA = 0.75
_GREY = 0.55  # how much of a colour's saturation is lost where it is not stable
_BOX = np.ones((3, 3), np.uint8)

Image = npt.NDArray[np.uint8]


class Tint:
    """Blends class colours into frames; all arrays are uint8.

    Args:
        class_names: of the model, by class id.
    """

    def __init__(self, class_names: Sequence[str]) -> None:
        # Classes beyond the places share the last one's colour; the legend still names each.
        place = np.minimum(np.arange(256), min(len(class_names), _PLACES) - 1)
        self._code_of_class = (place * _STATES).astype(np.uint8)
        self._colours = _colours(class_names)

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
        loose = (~stable).view(np.uint8)
        code = np.asarray(cv2.add(cv2.LUT(mask, self._code_of_class), loose), np.uint8)
        inside = without_flecks(loose) if outline else None
        period = stripe_period(min(image.shape[:2]))
        stripes = (period, max(1, period * 2 // 5))
        return blended(image, code, self._colours, inside, stripes)


def without_flecks(loose: Image) -> Image:
    """Areas of zeros and ones, shape (h, w), without those of under 3x3 pixels."""
    for step in (cv2.MORPH_OPEN, cv2.MORPH_CLOSE):
        loose = np.asarray(cv2.morphologyEx(loose, step, _BOX), np.uint8)
    return loose


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


def _colours(class_names: Sequence[str]) -> Colours:
    """Colour and opacity of each code."""
    colour = np.zeros((256, 3))
    rest = np.full(256, 255.0)
    for place, name in enumerate(class_names[:_PLACES]):
        for state in (_STABLE, _LOOSE, _STRIPE):
            rgb, alpha = state_colour(name, state)
            colour[place * _STATES + state] = rgb * alpha
            rest[place * _STATES + state] = 255 * (1 - alpha)
    colour[_EDGE], rest[_EDGE] = 255 * _EDGE_ALPHA, 255 * (1 - _EDGE_ALPHA)
    code = np.arange(256, dtype=np.uint8)
    return Colours(
        rest=np.floor(rest).astype(np.uint8),
        colour=colour.round().astype(np.uint8),
        striped=code + (code % _STATES == _LOOSE),
        edge=_EDGE,
    )
