"""The picture for people: frame, class colours, certified regions and what they are worth."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from lipdeploy.core.manifest import Manifest
from lipdeploy.runtime.legend import Legend
from lipdeploy.runtime.result import Result
from lipdeploy.runtime.tint import Tint

_SHORTEST = 480  # pixels; below, text is not readable

Image = npt.NDArray[np.uint8]


class Overlay:
    """Draws results; nothing is drawn as stable unless the result claims it.

    Args:
        manifest: of the model.
        keep: share of a region that must stay for it to be called stable.
    """

    def __init__(self, manifest: Manifest, keep: float) -> None:
        self._tint = Tint(manifest.class_names)
        self._legend = Legend(manifest, keep)

    def draw(self, result: Result, fps: float) -> Image:
        """A new RGB picture of the frame's size, enlarged where its shorter side is below 480."""
        picture = self.paint(enlarged(result.frame.image), result)
        self._legend.draw(picture, result, fps)
        return picture

    def paint(self, image: Image, result: Result) -> Image:
        """The colours alone, without words; a withheld frame is grey."""
        if result.prediction is None:
            grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
            return np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB), np.uint8)
        stable = np.zeros(result.prediction.mask.shape, np.bool_)
        if result.claims and result.regions is not None:
            stable = result.regions.stable
        return self._tint.blend(image, result.prediction.mask, stable)


def enlarged(image: Image) -> Image:
    """The image with a shorter side of at least 480 pixels."""
    shorter = min(image.shape[:2])
    if shorter >= _SHORTEST:
        return image
    scale = _SHORTEST / shorter
    size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_CUBIC), np.uint8)
