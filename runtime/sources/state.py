"""How a source is doing, for people and supervisors."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SourceState:
    """One source at one moment.

    Attributes:
        name: what it is, passwords redacted.
        status: `connecting`, `live`, `reconnecting`, `lost` or `ended`.
        reconnects: times it came back.
        last_error: what broke it last, in one line.
        down_s: length of the last outage.
    """

    name: str
    status: str = "live"
    reconnects: int = 0
    last_error: str = ""
    down_s: float = 0.0
