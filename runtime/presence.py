"""Notices that a live source has gone quiet, so that no display keeps an old certified picture."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from lipdeploy.runtime.result import Result
from lipdeploy.runtime.sources.frame import Frame

_EVERY_S = 1.0  # between placeholders of one source
NO_FRAME, STALE = "no frame", "stale"


@dataclass
class _Seen:
    """What one camera delivered last, and what of it the sinks were shown last.

    `waited` as long as the frame is a blank one: the camera has delivered nothing yet.
    """

    frame: Frame
    arrived_s: float
    shown_s: float
    claim_ends_s: float | None = None
    waited: bool = False


class Presence:
    """Says when a placeholder is due instead of a picture that is too old.

    Args:
        live: nothing is ever due of a source that is not.
        max_staleness_s: oldest acceptable live frame.
        size: (height, width) of the picture that is shown before the first frame.
    """

    def __init__(self, live: bool, max_staleness_s: float, size: tuple[int, int]) -> None:
        self._live = live
        self._max_staleness_s = max_staleness_s
        self._blank = Frame(np.zeros((*size, 3), np.uint8), 0, 0.0, 0.0, "")
        self._lock = threading.Lock()
        self._seen: dict[str, _Seen] = {}
        self._start_s = 0.0

    def start(self, now_s: float, cameras: Sequence[str] = ()) -> None:
        """The run begins: a first frame is awaited, of each of several cameras."""
        self._start_s = now_s
        for name in cameras:
            blank = dataclasses.replace(self._blank, captured_s=now_s, source_id=name)
            self._seen[name] = _Seen(blank, now_s, now_s, waited=True)

    def captured(self, frame: Frame, now_s: float) -> None:
        """A frame arrived."""
        if not self._live:
            return
        # Its pixels are shown greyed if nothing follows; what else it knows is not needed.
        bare = dataclasses.replace(frame, labels=None)
        with self._lock:
            seen = self._seen.setdefault(_source(frame), _Seen(bare, now_s, now_s))
            seen.frame, seen.arrived_s, seen.waited = bare, now_s, False

    def shown(self, result: Result, now_s: float) -> None:
        """The sinks were handed a result; a claim ends when its frame is too old."""
        with self._lock:
            seen = self._seen.get(_source(result.frame))
            if seen is not None:
                seen.shown_s = now_s
                ends_s = result.frame.captured_s + self._max_staleness_s
                seen.claim_ends_s = None if result.state == "withheld" else ends_s

    def due(self, now_s: float) -> Iterator[tuple[Frame, str]]:
        """Last frame and reason, of each source whose shown picture is too old."""
        if not self._live:
            return
        with self._lock:
            quiet = [(seen, self._due_s(seen)) for seen in self._seen.values()]
        if not quiet and now_s - self._start_s > max(self._max_staleness_s, _EVERY_S):
            self._start_s = now_s
            yield dataclasses.replace(self._blank, captured_s=now_s), NO_FRAME
        for seen, due_s in quiet:
            if now_s > due_s:
                arrived = not seen.waited and now_s - seen.arrived_s <= self._max_staleness_s
                yield seen.frame, STALE if arrived else NO_FRAME

    def wait_s(self, now_s: float, longest_s: float) -> float:
        """Time until something may be due, at most `longest_s`."""
        with self._lock:
            due_s = [self._due_s(seen) for seen in self._seen.values()] if self._live else []
        return max(1e-3, min([longest_s, *(when - now_s + 1e-3 for when in due_s)]))

    def _due_s(self, seen: _Seen) -> float:
        regular_s = seen.shown_s + max(_EVERY_S, self._max_staleness_s)
        return regular_s if seen.claim_ends_s is None else min(seen.claim_ends_s, regular_s)


def _source(frame: Frame) -> str:
    return frame.source_id
