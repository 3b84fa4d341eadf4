"""Radii and budgets as colours: a perceptually uniform map over a linear scale from 0.

The map is viridis, which is told apart in grey and with any colour blindness. Every rounding makes
a value look smaller. What is 0 has no colour: nothing is claimed of it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from lipdeploy.runtime.blending import Colours, blended

_STEPS = (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)
_ALPHA = 0.8
_MIDDLE_GREY = 110  # what the colour bar is blended with

Image = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Scale:
    """Values 0..top as codes: 0 for what is not above 0, 1..255 for the rest.

    Attributes:
        top: the value of the last colour, above 0; larger values look the same.
    """

    top: float

    def codes(self, values: npt.NDArray[np.floating]) -> Image:
        """Code of each value, shape (H, W); a NaN counts as 0."""
        usable = np.fmin(np.fmax(values, 0.0), self.top).astype(np.float32)
        shown = cv2.convertScaleAbs(usable, alpha=254 / self.top, beta=-0.5)
        return np.asarray(cv2.add(shown, (usable > 0).view(np.uint8)), np.uint8)


def scale_for(value: float) -> Scale:
    """The scale whose top is the next round number from `value` on.

    >>> scale_for(0.17)
    Scale(top=0.2)
    """
    if not (math.isfinite(value) and value > 0):
        return Scale(1.0)
    power = 10.0 ** math.floor(math.log10(value))
    return Scale(next((s * power for s in _STEPS if s * power >= value), 10 * power))


def heat_colours() -> Image:
    """RGB of the codes, shape (256, 3); that of code 0 is white."""
    ramp = np.concatenate([[0], np.arange(255) * 255 // 254]).astype(np.uint8)
    bgr = np.asarray(cv2.applyColorMap(ramp[:, np.newaxis], cv2.COLORMAP_VIRIDIS), np.uint8)
    colours = bgr[:, 0, ::-1].copy()
    colours[0] = 255
    return colours


class Heat:
    """Blends radii into grey frames; its scale only grows, so that a stream does not flicker."""

    def __init__(self) -> None:
        colour = heat_colours().astype(np.float64) * _ALPHA
        colour[0] = 0
        rest = np.full(256, 255 * (1 - _ALPHA))
        rest[0] = 255
        self._colours = Colours(
            rest=rest.astype(np.uint8),
            colour=colour.round().astype(np.uint8),
            striped=np.arange(256, dtype=np.uint8),
        )
        self.scale = Scale(1e-3)

    @property
    def bar_colours(self) -> Image:
        """RGB of the codes as they look over a middle grey, shape (256, 3)."""
        return np.asarray(self._colours.colour + round(_MIDDLE_GREY * (1 - _ALPHA)), np.uint8)

    def blend(self, image: Image, radius: npt.NDArray[np.float32]) -> Image:
        """The frame in grey with its radii in colour.

        Args:
            image: RGB, shape (H, W, 3).
            radius: shape (h, w), >= 0, at the network's resolution.
        """
        largest = float(radius.max(initial=0, where=np.isfinite(radius)))
        if largest > self.scale.top:
            self.scale = scale_for(largest)
        grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        return blended(np.asarray(grey, np.uint8), self.scale.codes(radius), self._colours)
