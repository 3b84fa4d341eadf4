"""A live source: one connection after another, with a bound on how long it may be gone."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

from lipdeploy.core.errors import LipdeployError, SourceError, SourceLostError
from lipdeploy.runtime.sources.connection import Abandoned, Connect, Reading, Shot, Silent
from lipdeploy.runtime.sources.frame import Frame
from lipdeploy.runtime.sources.options import LiveOptions
from lipdeploy.runtime.sources.outage import Outage
from lipdeploy.runtime.sources.state import SourceState

_RELEASE_S = 1.0
_MOST_HUNG = 8  # reads that never return hold a thread and a device each
_GRACE_S = 1.0  # the time-outs of OpenCV come first, and release what they hold


@dataclass(frozen=True)
class _Broken:
    """Why a connection gave no frame, in a few words, and what it said for itself."""

    error: str
    said: str = ""


class LiveCapture:
    """Frames as they arrive; a connection that fails or hangs is replaced.

    Args:
        name: what it is, passwords redacted.
        connect: makes a connection; it is called and used in a thread of its own.
        advice: what to do when it fails.
        options: time-outs, and how often and how long to try again.

    Raises:
        SourceError: no connection within the bound.
    """

    live = True
    still = False

    def __init__(self, name: str, connect: Connect, advice: str, options: LiveOptions) -> None:
        self._name = name
        self._connect = connect
        self._advice = advice
        self._options = options
        self._closed = threading.Event()
        self._outage = Outage(name)
        self._frames = 0
        self.fps = 25.0
        self._what = ""
        self._reading: Reading | None = None
        self._hung: list[Reading] = []
        if not self._try() and not self._connected():
            raise SourceError(f"{name} {self._failure('cannot be opened')}")

    def describe(self) -> str:
        """The device or the URL without its password, and what was negotiated."""
        what = f", {self._what}" if self._what else ""
        return f"{self._name} (live, {self.fps:g} fps{what})"

    def state(self) -> SourceState:
        """What it is doing now; safe in any thread."""
        return self._outage.state()

    def __iter__(self) -> Iterator[Frame]:
        start_s: float | None = None
        index = since = 0
        while not self._closed.is_set():
            shot = self._next_shot()
            if isinstance(shot, Shot):
                self._outage.over(shot.captured_s)
                start_s = shot.captured_s if start_s is None else start_s
                index += shot.skipped
                yield _frame(shot, index, start_s)
                index += 1
                since += 1
                self._frames += 1
            elif self._closed.is_set() or self._finished(since):
                break
            else:
                self._reconnect(shot)
                since = 0
        self._outage.end("ended")
        self._release()

    def close(self) -> None:
        """End the iteration and release the device, unless a read of it is stuck."""
        self._closed.set()
        reading = self._reading
        if reading is not None:
            reading.abandon(_RELEASE_S)

    def _next_shot(self) -> Shot | _Broken:
        """A frame, or why there is none."""
        before_s = time.monotonic()
        reading = self._reading
        try:
            shot = None if reading is None else reading.take(self._options.read_s + _GRACE_S)
        except (Silent, Abandoned):
            shot = None
        except LipdeployError as error:
            return _Broken("failed", str(error))
        if shot is not None:
            return shot
        if time.monotonic() - before_s >= self._options.read_s:
            return _Broken(f"delivered nothing for {self._options.read_s:g} s")
        return _Broken("broke off")

    def _finished(self, since: int) -> bool:
        return self._reading is not None and self._reading.ended(since)

    def _reconnect(self, broken: _Broken) -> None:
        self._outage.begin(broken.error, broken.said)
        self._release()
        if not self._connected() and not self._closed.is_set():
            self._outage.end("lost")
            what = f"{broken.error} after {self._frames} frames"
            raise SourceLostError(f"{self._name} {self._failure(what)}")

    def _connected(self) -> bool:
        """Whether a connection was opened before the bound was spent or the source closed."""
        for wait_s in self._outage.waits_s(self._options.backoff, random.Random()):
            if self._closed.wait(wait_s):
                return False
            if self._try():
                return True
        return False

    def _try(self) -> bool:
        """One connection; where it opens, it is read from now on."""
        self._outage.tries += 1
        self._hung = [reading for reading in self._hung if reading.alive]
        if len(self._hung) >= _MOST_HUNG:
            self._outage.failed(f"{_MOST_HUNG} reads of it hang; reset the device or its driver")
            return False
        self._reading = Reading(self._connect)
        if self._closed.is_set():  # `close` has not seen this one
            self._release()
            return False
        wait_s = _RELEASE_S
        try:
            opened = self._reading.opened(self._options.open_s + _GRACE_S)
        except (Silent, Abandoned):
            opened, wait_s = None, 0.0
            self._outage.failed(f"it did not open within {self._options.open_s:g} s")
        except LipdeployError as error:
            opened = None
            self._outage.failed(str(error))
        if opened is None:
            self._release(wait_s)
            return False
        self.fps, self._what = opened.fps, opened.what
        self._outage.connected()
        return True

    def _failure(self, what: str) -> str:
        said = self._outage.said
        tries = self._options.backoff.describe(self._outage.tries)
        # What the device itself says is better advice than the general one.
        return f"{what}{tries}; {said or self._advice}"

    def _release(self, wait_s: float = _RELEASE_S) -> None:
        reading, self._reading = self._reading, None
        if reading is not None:
            reading.abandon(wait_s)
            if reading.alive:
                self._hung.append(reading)


def _frame(shot: Shot, index: int, start_s: float) -> Frame:
    time_ms = (shot.captured_s - start_s) * 1e3 if shot.time_ms is None else shot.time_ms
    return Frame(
        shot.image,
        index,
        time_ms,
        shot.captured_s,
        str(index),
        shot.damaged,
        shot.labels,
        capture_wall_s=time.time() - (time.monotonic() - shot.captured_s),
    )
