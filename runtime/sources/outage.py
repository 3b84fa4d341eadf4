"""The book-keeping of a live source's outages."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator

from lipdeploy.runtime.sources.backoff import Backoff
from lipdeploy.runtime.sources.state import SourceState


class Outage:
    """Counts tries, measures how long frames were missing; an outage ends with a frame.

    A server that accepts and then says nothing is still out: otherwise it would be tried for ever.
    One thread writes, any may read `state`.

    Attributes:
        tries: connections tried in this outage.
        said: what the last failed try said for itself.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._status = "connecting"
        self._error = ""
        self._connections = 0
        self._down_s = 0.0
        self._last_frame_s: float | None = None
        self._since_s = time.monotonic()
        self._waits: Iterator[float] | None = None
        self._lock = threading.Lock()
        self.tries = 0
        self.said = ""

    def state(self) -> SourceState:
        """A snapshot."""
        with self._lock:
            down_s = self._down_s
            if self._status == "reconnecting":
                down_s = time.monotonic() - self._since_s
            again = max(0, self._connections - 1)
            return SourceState(self._name, self._status, again, self._error, down_s)

    def begin(self, error: str, said: str = "") -> None:
        """A connection failed; the outage goes on where no frame came since the last failure."""
        with self._lock:
            if self._status == "live":
                self._status = "reconnecting"
                self._since_s = self._last_frame_s or time.monotonic()
                self.tries = 0
                self._waits = None
            self.said = said
            self._error = error

    def waits_s(self, backoff: Backoff, chance: random.Random) -> Iterator[float]:
        """What is left of this outage's waits; ends when the bound is spent."""
        if self._waits is None:
            self._waits = backoff.waits_s(chance)
        for wait_s in self._waits:
            down_s = time.monotonic() - self._since_s
            if backoff.spent(down_s):
                return
            left_s = wait_s if backoff.for_s is None else backoff.for_s - down_s
            yield min(wait_s, left_s)

    def failed(self, said: str) -> None:
        """A try failed."""
        with self._lock:
            self.said = said

    def connected(self) -> None:
        """A connection was opened."""
        with self._lock:
            self._connections += 1

    def over(self, captured_s: float) -> None:
        """A frame came."""
        with self._lock:
            if self._status == "reconnecting":
                self._down_s = captured_s - self._since_s
            self._status = "live"
            self._last_frame_s = captured_s

    def end(self, status: str) -> None:
        """`lost` or `ended`: there will be no more frames."""
        with self._lock:
            if self._status == "reconnecting":
                self._down_s = time.monotonic() - self._since_s
            if self._status != "lost":
                self._status = status
