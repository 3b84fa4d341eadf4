"""A stream at one moment, as data: for pages, metrics and supervisors."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from lipdeploy.runtime.drift import DriftReport
from lipdeploy.runtime.sources.state import SourceState


@dataclass(frozen=True)
class SinkState:
    """One sink.

    Attributes:
        name: where it writes.
        written: results that it took.
        dropped: results that it was too slow for, or that were waiting when it failed.
        error: why it ended; empty while it works.
    """

    name: str
    written: int = 0
    dropped: int = 0
    error: str = ""


@dataclass(frozen=True)
class StreamStatus:
    """A stream at one moment; every field belongs to the same moment but for counts under way.

    Attributes:
        uptime_s: since `run` was called.
        frames_in: frames that the source delivered.
        shown: frames that were handed to the sinks, withheld ones included.
        dropped: frames replaced by newer ones before inference.
        withheld: frames of which nothing is claimed, by reason.
        fps: frames shown a second, over the last 30 frames.
        latency_ms: p50, p95, p99 and max over the last minute, from capture to the sinks.
        eps: budget that the newest result was judged with; before it, of the next frame.
        level: guarantee level.
        state: of the newest result: `ok`, `withheld`, or `waiting` before the first.
        reason: why it is withheld.
        certified_share: of the newest result, None where nothing is claimed.
        class_shares: certified share of each class that is present in the newest result.
        sources: one entry a source.
        sinks: one entry a sink.
        drift: frames that were checked in the reference precision, and what was found.
    """

    uptime_s: float = 0.0
    frames_in: int = 0
    shown: int = 0
    dropped: int = 0
    withheld: Mapping[str, int] = field(default_factory=dict)
    fps: float = 0.0
    latency_ms: Mapping[str, float] = field(default_factory=dict)
    eps: float = 0.0
    level: str = "none"
    state: str = "waiting"
    reason: str = ""
    certified_share: float | None = None
    class_shares: Mapping[str, float] = field(default_factory=dict)
    sources: tuple[SourceState, ...] = ()
    sinks: tuple[SinkState, ...] = ()
    drift: DriftReport = field(default_factory=DriftReport)


class StatusLink:
    """A callable for sinks that are opened before the stream they tell of; `waiting` until then."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._source: Callable[[], StreamStatus] = StreamStatus

    def bind(self, source: Callable[[], StreamStatus]) -> None:
        """From now on ask `source`."""
        with self._lock:
            self._source = source

    def __call__(self) -> StreamStatus:
        """The stream as it is now."""
        with self._lock:
            source = self._source
        return source()
