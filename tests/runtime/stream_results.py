"""Results as the stream hands them to its sinks, made by hand."""

from __future__ import annotations

import numpy as np

from lipdeploy.runtime.regions import find_regions
from lipdeploy.runtime.result import Result
from lipdeploy.runtime.session import Prediction
from lipdeploy.runtime.sinks import SinkContext
from lipdeploy.runtime.sources.frame import Frame

NAMES = ("road", "sky")
CONTEXT = SinkContext(10.0, NAMES)


def result(
    index: int = 0,
    size: tuple[int, int] = (48, 64),
    state: str = "ok",
    captured_s: float = 0.0,
) -> Result:
    """Half road, half sky at 8x8; two of the 64 pixels can be changed by eps 0.25."""
    image = np.full((*size, 3), (200, 30, 30), np.uint8)
    frame = Frame(image, index, index * 40.0, captured_s, str(index))
    made = Result(frame, "ok", "", 0.25, 0.25, "proved")
    made.overlay = image
    if state == "withheld":
        made.state, made.reason = "withheld", "black"
        return made
    mask = np.zeros((8, 8), np.uint8)
    mask[:4] = 1
    radius = np.full((8, 8), 0.3, np.float32)
    radius[0, :2] = 0.1
    made.prediction = Prediction(mask, radius, np.array([2], np.float32))
    made.regions = find_regions(mask, radius, 0.25)
    return made
