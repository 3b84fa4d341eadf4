"""What a source says of itself."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SourceState:
    """How a source is doing.

    Attributes:
        name: what was opened, with passwords redacted.
        status: connecting, live, reconnecting, lost or ended.
        reconnects: connections made after the first.
        last_error: why the last one broke off; empty where none did.
        down_s: time of the last outage in seconds.
    """

    name: str
    status: str = "live"
    reconnects: int = 0
    last_error: str = ""
    down_s: float = 0.0
