"""A snapshot of a running stream, for people and for monitoring."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lipdeploy.runtime.sources.state import SourceState


@dataclass(frozen=True)
class SinkState:
    """How a sink is doing: what it wrote, what it was too slow for, why it failed."""

    name: str
    written: int = 0
    dropped: int = 0
    error: str = ""


@dataclass(frozen=True)
class StreamStatus:
    """How a stream is doing.

    Attributes:
        uptime_s: since it began.
        frames_in: frames that the sources delivered.
        shown: frames that reached the sinks.
        dropped: frames that were replaced by newer ones.
        withheld: frames of which nothing was claimed, by reason.
        fps: frames shown a second.
        latency_ms: p50, p95, p99 and max over the last minute, capture to sink.
        eps: budget in l2 at the network's input.
        level: guarantee level.
        state: ok, withheld or waiting.
        reason: why it is not ok.
        certified_share: of the newest frame, None where nothing is claimed.
        class_shares: certified share of each class present in the newest frame.
        sources: state of every source.
        sinks: state of every sink.
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
