"""When a frame was captured, as recordings tell it."""

from __future__ import annotations

import time

from lipdeploy.runtime.sources.frame import Frame


class FrameClock:
    """Times frames by their capture where live, else by their place in the file.

    So that a frame that was dropped leaves a gap and does not speed up the film.

    Args:
        live: frames are timed by when they were captured.
        fps: nominal rate of a source that is not live, above 0.
    """

    def __init__(self, live: bool, fps: float) -> None:
        self._live = live
        self._fps = fps
        self._first: float | None = None
        self._wall_offset_s = time.time() - time.monotonic()

    def film_s(self, frame: Frame) -> float:
        """Seconds since the first frame that was asked for; never below 0."""
        now = frame.captured_s if self._live else frame.index / self._fps
        if self._first is None:
            self._first = now
        return max(0.0, now - self._first)

    def stamp_ns(self, frame: Frame) -> int:
        """Nanoseconds since 1970 where live; since the file began where not."""
        if not self._live:
            return round(frame.index / self._fps * 1e9)
        wall_s = frame.capture_wall_s
        if wall_s is None:
            wall_s = self._wall_offset_s + frame.captured_s
        return round(wall_s * 1e9)
