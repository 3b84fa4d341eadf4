"""The last minutes, second by second, for the curves of the page."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass

from lipdeploy.runtime.result import Result

SECONDS = 300


@dataclass(frozen=True)
class Sample:
    """One second; every figure is the worst of its frames.

    Attributes:
        at_s: seconds since the page was opened, at the end of this one.
        frames: how many there were.
        share: least certified share, None where a frame claimed nothing or there was none.
        latency_ms: largest latency, None where there was no frame.
        withheld: whether nothing was claimed of a frame because of the frame.
        dropped: frames dropped in this second, None where nobody counts.
    """

    at_s: float
    frames: int
    share: float | None
    latency_ms: float | None
    withheld: bool
    dropped: int | None


class History:
    """Gathers results into seconds; of bounded size."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._samples: deque[Sample] = deque(maxlen=SECONDS)
        self._dropped: int | None = None
        self._begin()

    def _begin(self) -> None:
        self._frames = 0
        self._share: float | None = 1.0
        self._latency_ms = 0.0
        self._withheld = False

    def add(self, result: Result) -> None:
        """Count a result into the second that runs."""
        share = result.certified_share
        with self._lock:
            unclaimed = share is None or self._share is None
            self._share = None if unclaimed else min(share or 0.0, self._share or 0.0)
            self._withheld |= result.state == "withheld"
            if not result.placeholder:  # no frame stands behind it
                self._frames += 1
                self._latency_ms = max(self._latency_ms, result.latency_ms)

    def end_second(self, at_s: float, dropped: int | None) -> None:
        """Keep the second that ran.

        Args:
            at_s: seconds since the page was opened.
            dropped: frames dropped since the stream began; None where nobody counts.
        """
        with self._lock:
            seen = self._frames > 0
            self._samples.append(
                Sample(
                    at_s=round(at_s, 2),
                    frames=self._frames,
                    share=self._share if seen else None,
                    latency_ms=round(self._latency_ms, 1) if seen else None,
                    withheld=self._withheld,
                    dropped=_since(self._dropped, dropped),
                )
            )
            self._dropped = dropped
            self._begin()

    @property
    def samples(self) -> list[Sample]:
        """The seconds, oldest first, at most 300."""
        with self._lock:
            return list(self._samples)


def _since(before: int | None, now: int | None) -> int | None:
    return None if now is None else max(0, now - (before or 0))
