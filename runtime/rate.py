"""Frames a second over the last few frames."""

from __future__ import annotations

from collections import deque


class Rate:
    """A rolling rate over at most 30 frames; one thread ticks, others may read `fps`."""

    def __init__(self) -> None:
        self._times_s: deque[float] = deque(maxlen=31)
        self.fps = 0.0

    def tick(self, now_s: float) -> None:
        """Count a frame shown at `now_s`."""
        self._times_s.append(now_s)
        passed_s = now_s - self._times_s[0]
        self.fps = (len(self._times_s) - 1) / passed_s if passed_s > 0 else 0.0
