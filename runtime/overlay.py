"""The picture for people: frame, class colours, certified regions and what they are worth."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from lipdeploy.core.manifest import Manifest
from lipdeploy.runtime.budget_labels import Label, budget_text, draw_labels, place_labels
from lipdeploy.runtime.heat import Heat
from lipdeploy.runtime.legend import Legend
from lipdeploy.runtime.lettering import Style, styles
from lipdeploy.runtime.regions import RegionMap
from lipdeploy.runtime.result import Result
from lipdeploy.runtime.session import Prediction
from lipdeploy.runtime.tint import Tint
from lipdeploy.runtime.views import View

_SHORTEST = 480  # pixels; below, text is not readable

Image = npt.NDArray[np.uint8]


class Overlay:
    """Draws results; nothing is drawn as stable unless the result claims it.

    Args:
        manifest: of the model.
        keep: share of a region that must stay for it to be called stable.
        view: what to show.
    """

    def __init__(self, manifest: Manifest, keep: float, view: View = "regions") -> None:
        self._view = view
        self._tint = Tint(manifest.class_names)
        self._heat = Heat()
        self._legend = Legend(manifest, keep, view)

    def draw(self, result: Result, fps: float) -> Image:
        """A new RGB picture of the frame's size, enlarged where its shorter side is below 480."""
        picture = self.paint(enlarged(result.frame.image), result)
        heat = self._heat if self._view == "radius" else None
        rows = self._legend.draw(picture, result, fps, heat)
        if self._view == "regions" and result.claims and result.regions is not None:
            _, body = styles(min(picture.shape[:2]))
            draw_labels(picture, budget_labels(result.regions, picture, rows, body), body)
        return picture

    def paint(self, image: Image, result: Result) -> Image:
        """The colours alone, without words; grey where nothing is there to be coloured."""
        prediction = result.prediction
        if prediction is None or (self._view == "radius" and not result.claims):
            grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
            return np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB), np.uint8)
        if self._view == "radius":
            return self._heat.blend(image, prediction.radius)
        solid = self._solid(result, prediction)
        return self._tint.blend(image, prediction.mask, solid, self._view == "regions")

    def _solid(self, result: Result, prediction: Prediction) -> npt.NDArray[np.bool_]:
        if not result.claims or result.regions is None:
            return np.zeros(prediction.mask.shape, np.bool_)
        return result.outlasting if self._view == "pixels" else result.regions.stable


def budget_labels(
    found: RegionMap, picture: Image, rows: tuple[int, int], style: Style
) -> list[Label]:
    """The budget of each larger region, where the picture's `rows` have room for it."""
    height, width = picture.shape[:2]
    rows_of_map, columns_of_map = found.number.shape
    lowest = style.line * rows_of_map / height  # most regions are too small for any text
    narrowest = style.width("eps 0") * columns_of_map / width
    texts = {
        k: budget_text(region.budget)
        for k, region in enumerate(found.regions)
        if region.bbox[3] >= lowest and region.bbox[2] >= narrowest
    }
    return place_labels(found, texts, (height, width), rows, style)


def enlarged(image: Image) -> Image:
    """The image with a shorter side of at least 480 pixels."""
    shorter = min(image.shape[:2])
    if shorter >= _SHORTEST:
        return image
    scale = _SHORTEST / shorter
    size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_CUBIC), np.uint8)
