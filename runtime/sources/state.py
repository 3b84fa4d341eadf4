"""What a live source is doing, for whoever watches it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class SourceState:
    """One source at one moment.

    Attributes:
        name: what was opened, passwords redacted.
        status: `connecting`, `live`, `reconnecting`, `lost` or `ended`.
        reconnects: connections made after the first.
        last_error: why the last connection ended; empty where none did.
        down_s: time from the last frame before the last outage to the first frame after it, or to
            now while it lasts, in seconds; 0 without an outage.
    """

    name: str
    status: str = "live"  # connecting, live, reconnecting, lost, ended
    reconnects: int = 0
    last_error: str = ""
    down_s: float = 0.0


def states_of(source: object) -> tuple[SourceState, ...]:
    """The states of a source and of those inside it; one that does not say is taken as live."""
    several: Callable[[], tuple[SourceState, ...]] | None = getattr(source, "states", None)
    if several is not None:
        return several()
    one: Callable[[], SourceState] | None = getattr(source, "state", None)
    if one is not None:
        return (one(),)
    describe: Callable[[], str] = getattr(source, "describe", lambda: type(source).__name__)
    return (SourceState(describe()),)
