"""What a stream did, as data."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lipdeploy.runtime.result import Result

STAGES = ("capture", "preprocess", "inference", "certify", "overlay")
_KEPT = 100_000  # latencies for the percentiles: memory stays flat over days


@dataclass(frozen=True)
class StreamReport:
    """Counts, times and shares of one run.

    Attributes:
        source: what was opened.
        frames_in: frames that the source delivered.
        shown: frames that reached the sinks, withheld ones included.
        dropped: frames replaced by newer ones before inference (live sources), or left at a stop.
        missing: frames that the source itself lost.
        stale: frames withheld because of their age.
        withheld: frames of which nothing is claimed, by reason.
        stage_ms: mean time a frame spends in each stage that it passes.
        latency_ms: p50, p95, p99, max from capture to the first sink.
        fps: frames shown a second of wall-clock time.
        certified_share: mean over the frames of which something is claimed, None without any.
        pixelwise_share: likewise.
        certification_time_share: share of the stages' time spent in `certify`; the bisection in the
            model's graph counts as inference.
        eps_source: budget at the captured frames, None with `eps_source_reason`.
        model_shape: shape of the network's input.
        weights_sha256: of the model, as its metadata has it.
        engine: what ran the model.
        measured_on: the engine whose rounding the level rests on, as the model declares it.
        saved: where the sinks wrote.
    """

    source: str = ""
    frames_in: int = 0
    shown: int = 0
    dropped: int = 0
    missing: int = 0
    stale: int = 0
    withheld: Mapping[str, int] = field(default_factory=dict)
    stage_ms: Mapping[str, float] = field(default_factory=dict)
    latency_ms: Mapping[str, float] = field(default_factory=dict)
    fps: float = 0.0
    wall_s: float = 0.0
    eps: float = 0.0
    eps_source: float | None = None
    eps_source_reason: str = ""
    level: str = "none"
    certified_share: float | None = None
    pixelwise_share: float | None = None
    certification_time_share: float = 0.0
    model_shape: tuple[int, ...] = ()
    weights_sha256: str = ""
    engine: str = ""
    measured_on: str = ""
    saved: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain types, ready for `json.dumps`."""
        return dataclasses.asdict(self)


class Tally:
    """Adds up results as they are shown; memory does not grow with their number."""

    def __init__(self) -> None:
        self.shown = 0
        self.stale = 0
        self.missing = 0
        self.withheld: dict[str, int] = {}
        self._next_index = 0
        self._latency_ms: deque[float] = deque(maxlen=_KEPT)
        self._stages: dict[str, _Mean] = {name: _Mean() for name in STAGES}
        self._certified = _Mean()
        self._pixelwise = _Mean()

    def add(self, result: Result) -> None:
        """Count one result."""
        self.shown += 1
        self.stale += result.reason == "stale"
        if result.state == "withheld":
            self.withheld[result.reason] = self.withheld.get(result.reason, 0) + 1
        self._latency_ms.append(result.latency_ms)
        for name, value in result.stage_ms.items():
            self._stages[name].add(value)
        self._certified.add(result.certified_share)
        self._pixelwise.add(result.pixelwise_share)

    def captured(self, index: int) -> None:
        """Note the index of a frame that the source delivered: gaps are frames it lost."""
        self.missing += max(0, index - self._next_index)
        self._next_index = index + 1

    def fields(self) -> dict[str, Any]:
        """The fields of `StreamReport` that come from results."""
        total = sum(stage.total for stage in self._stages.values())
        return {
            "shown": self.shown,
            "stale": self.stale,
            "missing": self.missing,
            "withheld": dict(self.withheld),
            "stage_ms": {name: stage.mean or 0.0 for name, stage in self._stages.items()},
            "latency_ms": self._percentiles(),
            "certified_share": self._certified.mean,
            "pixelwise_share": self._pixelwise.mean,
            "certification_time_share": self._stages["certify"].total / total if total else 0.0,
        }

    def _percentiles(self) -> dict[str, float]:
        names = ("p50", "p95", "p99", "max")
        if not self._latency_ms:
            return dict.fromkeys(names, 0.0)
        values = np.percentile(np.asarray(self._latency_ms), (50, 95, 99, 100))
        return dict(zip(names, values.tolist(), strict=True))


class _Mean:
    """A running mean; None is not counted."""

    def __init__(self) -> None:
        self.total = 0.0
        self.count = 0

    def add(self, value: float | None) -> None:
        if value is not None:
            self.total += value
            self.count += 1

    @property
    def mean(self) -> float | None:
        return self.total / self.count if self.count else None
