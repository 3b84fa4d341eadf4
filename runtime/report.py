"""What a stream did, as data."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lipdeploy.runtime.drift import DriftReport
from lipdeploy.runtime.means import BudgetShares
from lipdeploy.runtime.outages import OutageReport
from lipdeploy.runtime.sources.state import SourceState
from lipdeploy.runtime.status import SinkState


@dataclass(frozen=True)
class StreamReport:
    """Counts, times and shares of one run.

    Attributes:
        source: what was opened.
        frames_in: frames that the source delivered.
        shown: frames that were handed to the sinks, withheld ones included.
        dropped: frames replaced by newer ones before inference (live sources), or left at a stop.
        dropped_at: the same by place: `queue`, `stop`; what a sink dropped is in `sinks`.
        missing: frames that the source itself lost.
        stale: frames withheld because of their age.
        withheld: frames of which nothing is claimed, by reason.
        placeholders: results without a frame that told the sinks of silence, by reason; they are
            in no other count.
        outages: stretches without a claim, and how soon the stream recovered.
        stage_ms: mean time a frame spends in each stage that it passes.
        latency_ms: p50, p95, p99, max from capture until it was handed to the sinks.
        fps: frames shown a second of wall-clock time.
        certified_share: mean over the frames judged at `eps` of which something is claimed, None
            without any.
        pixelwise_share: likewise.
        certification_time_share: share of the stages' time spent in `certify`; the bisection in the
            model's graph counts as inference.
        eps: the budget, the last one where it was changed.
        eps_source: budget at the captured frames, None with `eps_source_reason`.
        eps_changes: how often another budget was set while frames passed.
        by_eps: the figures of each budget, at most the last 32.
        allow_still: repeated pictures of a live source were allowed to claim.
        model_shape: shape of the network's input.
        weights_sha256: of the model, as its metadata has it.
        engine: what ran the model.
        measured_on: the engine whose rounding the level rests on, as the model declares it.
        saved: where the sinks wrote.
        sinks: what each sink took and dropped, and why it failed.
        sources: how each source ended.
        drift: frames that were checked in the reference precision, and what was found.
    """

    source: str = ""
    frames_in: int = 0
    shown: int = 0
    dropped: int = 0
    dropped_at: Mapping[str, int] = field(default_factory=dict)
    missing: int = 0
    stale: int = 0
    withheld: Mapping[str, int] = field(default_factory=dict)
    placeholders: Mapping[str, int] = field(default_factory=dict)
    outages: OutageReport = field(default_factory=OutageReport)
    stage_ms: Mapping[str, float] = field(default_factory=dict)
    latency_ms: Mapping[str, float] = field(default_factory=dict)
    fps: float = 0.0
    wall_s: float = 0.0
    eps: float = 0.0
    eps_source: float | None = None
    eps_source_reason: str = ""
    eps_changes: int = 0
    by_eps: tuple[BudgetShares, ...] = ()
    level: str = "none"
    allow_still: bool = False
    certified_share: float | None = None
    pixelwise_share: float | None = None
    certification_time_share: float = 0.0
    model_shape: tuple[int, ...] = ()
    weights_sha256: str = ""
    engine: str = ""
    measured_on: str = ""
    saved: tuple[str, ...] = ()
    sinks: tuple[SinkState, ...] = ()
    sources: tuple[SourceState, ...] = ()
    drift: DriftReport = field(default_factory=DriftReport)

    def to_json(self) -> dict[str, Any]:
        """Plain types, ready for `json.dumps`."""
        return dataclasses.asdict(self)
