"""Adds up what a stream does, in memory that does not grow."""

from __future__ import annotations

import threading
from typing import Any

from lipdeploy.runtime.latencies import Latencies
from lipdeploy.runtime.means import Mean, SharesByBudget
from lipdeploy.runtime.outages import Outages
from lipdeploy.runtime.result import Result
from lipdeploy.runtime.sources.frame import Frame

STAGES = ("capture", "preprocess", "inference", "certify", "overlay")
_MINUTE_S = 60.0


class Tally:
    """Adds up results as they are shown; may be read from any thread.

    Args:
        live: frames age by the clock.
    """

    def __init__(self, live: bool = False) -> None:
        self._lock = threading.Lock()
        self.frames_in = 0
        self.missing = 0
        self.shown = 0
        self._stale = 0
        self._placeholders: dict[str, int] = {}
        self._withheld: dict[str, int] = {}
        self._next_index = 0
        self._latencies = Latencies()
        self._stages: dict[str, Mean] = {name: Mean() for name in STAGES}
        self._shares = SharesByBudget()
        self._outages = Outages(live)

    def captured(self, frame: Frame) -> None:
        """Count a frame that the source delivered: gaps of its index are frames it lost.

        The index of several sources counts over all of them.
        """
        with self._lock:
            self.frames_in += 1
            self.missing += max(0, frame.index - self._next_index)
            self._next_index = frame.index + 1

    def add(self, result: Result, now_s: float) -> None:
        """Count a result that the sinks were handed at `now_s` (`time.monotonic()`)."""
        with self._lock:
            self._outages.add(result, now_s)
            if result.placeholder:
                count = self._placeholders.get(result.reason, 0)
                self._placeholders[result.reason] = count + 1
                return
            self._add_frame(result, now_s)

    def _add_frame(self, result: Result, now_s: float) -> None:
        self.shown += 1
        self._stale += result.reason == "stale"
        if result.state == "withheld":
            self._withheld[result.reason] = self._withheld.get(result.reason, 0) + 1
        self._latencies.add(result.latency_ms, now_s)
        for name, value in result.stage_ms.items():
            self._stages[name].add(value)
        self._shares.add(result)

    def withheld(self) -> dict[str, int]:
        """Frames of which nothing is claimed, by reason."""
        with self._lock:
            return dict(self._withheld)

    def latency_of_last_minute(self, now_s: float) -> dict[str, float]:
        """Percentiles of the frames that were shown in the last minute."""
        with self._lock:
            return self._latencies.percentiles_since(now_s - _MINUTE_S)

    def fields(self, eps: float) -> dict[str, Any]:
        """The fields of `StreamReport` that come from results; `eps` before the first of them."""
        with self._lock:
            newest = self._shares.newest or self._shares.of(eps)
            total = sum(stage.total for stage in self._stages.values())
            return {
                "frames_in": self.frames_in,
                "missing": self.missing,
                "shown": self.shown,
                "stale": self._stale,
                "withheld": dict(self._withheld),
                "placeholders": dict(self._placeholders),
                "outages": self._outages.report(),
                "stage_ms": {name: stage.mean or 0.0 for name, stage in self._stages.items()},
                "latency_ms": self._latencies.percentiles(),
                "eps": newest.eps,
                "eps_source": newest.eps_source,
                "eps_changes": self._shares.changes,
                "by_eps": self._shares.all(),
                "certified_share": newest.certified_share,
                "pixelwise_share": newest.pixelwise_share,
                "certification_time_share": self._stages["certify"].total / total if total else 0.0,
            }
