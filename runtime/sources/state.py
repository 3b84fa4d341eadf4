"""Where a live source stands."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SourceState:
    """One source as a supervisor or a page shows it.

    Attributes:
        name: what was opened, with passwords redacted.
        status: `connecting`, `live`, `reconnecting`, `lost` or `ended`.
        reconnects: connections made after the first.
        last_error: why the last connection broke, in a few words.
        down_s: length of the last outage.
    """

    name: str
    status: str = "live"
    reconnects: int = 0
    last_error: str = ""
    down_s: float = 0.0
