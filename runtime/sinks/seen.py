"""What a sink knows of the stream from its own frames, where there is no stream to ask."""

from __future__ import annotations

import threading
import time
from collections import Counter

from lipdeploy.runtime.rate import Rate
from lipdeploy.runtime.result import Result
from lipdeploy.runtime.status import StreamStatus


class Seen:
    """Counts the results it is given; `status` may be asked from another thread."""

    def __init__(self, class_names: tuple[str, ...]) -> None:
        self._class_names = class_names
        self._start_s = time.monotonic()
        self._lock = threading.Lock()
        self._rate = Rate()
        self._shown = 0
        self._withheld: Counter[str] = Counter()
        self._newest: Result | None = None

    def add(self, result: Result) -> None:
        """Count one result."""
        with self._lock:
            self._shown += 1
            self._rate.tick(time.monotonic())
            if result.state == "withheld":
                self._withheld[result.reason] += 1
            self._newest = result

    def status(self) -> StreamStatus:
        """A snapshot; of sources and other sinks it knows nothing."""
        with self._lock:
            newest = self._newest
            return StreamStatus(
                uptime_s=time.monotonic() - self._start_s,
                frames_in=self._shown,
                shown=self._shown,
                dropped=0,
                withheld=dict(self._withheld),
                fps=self._rate.fps,
                latency_ms={},
                eps=newest.eps if newest else 0.0,
                level=newest.level if newest else "none",
                state=newest.state if newest else "waiting",
                reason=newest.reason if newest else "",
                certified_share=newest.certified_share if newest else None,
                class_shares=class_shares(newest, self._class_names) if newest else {},
                sources=(),
                sinks=(),
            )


def class_shares(result: Result, class_names: tuple[str, ...]) -> dict[str, float]:
    """Certified share of each class present, by name; empty where nothing is claimed."""
    if not result.claims or result.regions is None:
        return {}
    return {class_names[k]: share for k, share in result.regions.class_share.items()}
