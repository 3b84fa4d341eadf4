"""Regions as Foxglove's boxes and words on the frame. Needs `lipdeploy[mcap]`."""

from __future__ import annotations

import math

from foxglove.messages import (
    Color,
    ImageAnnotations,
    Point2,
    PointsAnnotation,
    PointsAnnotationType,
    TextAnnotation,
    Timestamp,
)

from lipdeploy.runtime.regions import Region
from lipdeploy.runtime.result import Result

_STABLE = Color(r=0.1, g=0.8, b=0.3, a=1.0)
_UNSTABLE = Color(r=0.6, g=0.6, b=0.6, a=1.0)
_GROUND = Color(r=0.0, g=0.0, b=0.0, a=0.6)


def image_annotations(
    result: Result, size: tuple[int, int], class_names: tuple[str, ...], stamp: Timestamp
) -> ImageAnnotations:
    """A box and a line of text for each region; none where nothing is claimed.

    Args:
        result: of one frame.
        size: rows and columns of the frame.
        class_names: by class id.
        stamp: capture time.
    """
    if not result.claims or result.regions is None or result.prediction is None:
        return ImageAnnotations(timestamp=stamp)
    rows, columns = result.prediction.mask.shape
    scale = (size[1] / columns, size[0] / rows)
    regions = result.regions.regions
    return ImageAnnotations(
        timestamp=stamp,
        points=[_box(region, scale, stamp) for region in regions],
        texts=[_words(region, scale, class_names, stamp) for region in regions],
    )


def _box(region: Region, scale: tuple[float, float], stamp: Timestamp) -> PointsAnnotation:
    x, y, width, height = region.bbox
    corners = ((x, y), (x + width, y), (x + width, y + height), (x, y + height))
    return PointsAnnotation(
        timestamp=stamp,
        type=PointsAnnotationType.LineLoop,
        points=[Point2(x=a * scale[0], y=b * scale[1]) for a, b in corners],
        outline_color=_STABLE if region.stable else _UNSTABLE,
        thickness=2.0,
    )


def _words(
    region: Region, scale: tuple[float, float], class_names: tuple[str, ...], stamp: Timestamp
) -> TextAnnotation:
    budget = f"{_down(region.budget)}" if math.isfinite(region.budget) else "any eps"
    stable = "stable" if region.stable else "not stable"
    return TextAnnotation(
        timestamp=stamp,
        position=Point2(x=region.bbox[0] * scale[0], y=region.bbox[1] * scale[1]),
        text=f"{class_names[region.class_id]}: {stable}, takes {budget}",
        font_size=12.0,
        text_color=_STABLE if region.stable else _UNSTABLE,
        background_color=_GROUND,
    )


def _down(budget: float) -> float:
    """Three decimals, never above: a rounded figure must not claim more."""
    return math.floor(budget * 1000) / 1000
