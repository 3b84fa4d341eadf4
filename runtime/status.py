"""What a running stream tells of itself: a snapshot for the live page and for metrics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lipdeploy.runtime.sources.state import SourceState


@dataclass(frozen=True)
class SinkState:
    """One sink at one moment.

    Attributes:
        name: where it writes.
        written: frames it took.
        dropped: frames it was too slow for.
        error: why it ended early, in one line; empty while it works.
    """

    name: str
    written: int = 0
    dropped: int = 0
    error: str = ""


@dataclass(frozen=True)
class StreamStatus:
    """A stream at one moment.

    Attributes:
        uptime_s: since the stream began.
        frames_in: frames captured.
        shown: frames that reached the sinks, withheld ones included.
        dropped: frames captured and not shown.
        withheld: frames of which nothing was claimed, by reason.
        fps: frames shown a second, over the last few.
        latency_ms: p50, p95, p99 and max over the last minute, capture to sink.
        eps: budget in force, l2 at the network's input.
        level: guarantee level.
        state: `ok`, `withheld` or `waiting`.
        reason: why nothing is claimed of the newest frame; empty where something is.
        certified_share: of the newest frame; None where nothing is claimed.
        class_shares: certified share of each class present in the newest frame.
        sources: state of each source.
        sinks: state of each sink.
    """

    uptime_s: float
    frames_in: int
    shown: int
    dropped: int
    withheld: Mapping[str, int]
    fps: float
    latency_ms: Mapping[str, float]
    eps: float
    level: str
    state: str
    reason: str
    certified_share: float | None
    class_shares: Mapping[str, float]
    sources: tuple[SourceState, ...]
    sinks: tuple[SinkState, ...]
