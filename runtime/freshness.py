"""Whether a frame shows the world as it is now. Where it may not, nothing is claimed of it."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from lipdeploy.runtime.sources.frame import Frame

_DARK = 16  # of 255: sensor noise and the black level of video codecs stay below
_HOT_PIXELS = 1e-4  # share of pixels that a lens cap does not darken
_REPEATS = 2  # one repeat is common in telecined video


class Freshness:
    """Judges the frames of one source in order.

    Args:
        live: frames age.
        still: frames are single pictures, which may repeat or be black.
        max_staleness_s: oldest acceptable live frame, in seconds.
    """

    def __init__(self, live: bool, still: bool, max_staleness_s: float = 0.5) -> None:
        self._live = live
        self._still = still
        self._max_staleness_s = max_staleness_s
        self._previous: npt.NDArray[np.uint8] | None = None
        self._repeats = 0

    def fault(self, frame: Frame) -> str:
        """Why not to trust the pixels: what the source knows, `black`, `frozen`, or nothing."""
        if self._still:
            return frame.damaged
        repeats = self._counted_repeats(frame.image)
        if frame.damaged:
            return frame.damaged
        if is_black(frame.image):
            return "black"
        return "frozen" if repeats >= _REPEATS else ""

    def stale(self, frame: Frame, now_s: float) -> str:
        """`stale` where a live frame is too old at `now_s` (`time.monotonic()`), else nothing."""
        too_old = self._live and now_s - frame.captured_s > self._max_staleness_s
        return "stale" if too_old else ""

    def _counted_repeats(self, image: npt.NDArray[np.uint8]) -> int:
        same = self._previous is not None and _identical(self._previous, image)
        self._repeats = self._repeats + 1 if same else 0
        self._previous = image
        return self._repeats


def is_black(image: npt.NDArray[np.uint8]) -> bool:
    """Whether no more than one pixel in 10,000 is brighter than black-level noise."""
    luminance = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    bright = np.count_nonzero(luminance > _DARK)
    return bool(bright <= luminance.size * _HOT_PIXELS)


def _identical(one: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8]) -> bool:
    return one.shape == other.shape and bool(cv2.norm(one, other, cv2.NORM_INF) == 0)
