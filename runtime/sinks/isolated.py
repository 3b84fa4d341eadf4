"""One sink in a thread of its own behind a bounded queue: it can stall or fail only itself."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from lipdeploy.core.errors import InputError, LipdeployError
from lipdeploy.runtime.channel import Channel, Closed
from lipdeploy.runtime.result import Result
from lipdeploy.runtime.sinks.sink import Sink
from lipdeploy.runtime.status import SinkState

_FILE_QUEUE = 4
_LIVE_QUEUE = 8  # of a recording that hiccups while a camera goes on


class IsolatedSink:
    """Hands results to a sink in order and closes it at the end, in the sink's own thread.

    A sink whose attribute `live` is true shows the present (a display, a page): it gets the newest
    result only, judged once more when it is shown. Others get every result where `lossless`, else
    as many as they have time for; what they miss is counted.

    Args:
        sink: what to write to.
        lossless: wait for the sink instead of dropping: the source is not live.
        fresh: takes the claim off a result that is too old by now.
    """

    def __init__(self, sink: Sink, lossless: bool, fresh: Callable[[Result], Result]) -> None:
        self._sink = sink
        self.name = sink.describe() or type(sink).__name__
        self.live = bool(getattr(sink, "live", False))
        # A recording holds frames only; what shows the present, or counts, is told of silence.
        self.takes_placeholders = self.live or not sink.wants_overlay
        self._fresh = fresh if self.live else None
        capacity = 1 if self.live else (_FILE_QUEUE if lossless else _LIVE_QUEUE)
        self._inbox: Channel[Result] = Channel(capacity, newest=self.live or not lossless)
        self._written = 0
        self._spoiled = 0
        self._busy_since_s: float | None = None
        self.error: Exception | None = None
        self._thread = threading.Thread(target=self._work, name=f"sink {self.name}", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def offer(self, result: Result, timeout_s: float) -> bool:
        """Queue a result; false where there was no room for `timeout_s`.

        A sink that failed takes nothing, which is not told here: see `error`.
        """
        try:
            return self._inbox.put(result, timeout_s)
        except Closed:
            return True

    def busy_s(self, now_s: float) -> float:
        """How long the sink has been at the same result."""
        since_s = self._busy_since_s
        return 0.0 if since_s is None else now_s - since_s

    def finish(self) -> None:
        """Nothing more will come: write what waits, then close the sink."""
        self._inbox.close()

    def join(self, timeout_s: float) -> bool:
        """Wait for the sink to be closed; false where it is not after `timeout_s`."""
        self._thread.join(max(0.0, timeout_s))
        return not self._thread.is_alive()

    def abandon(self, error: LipdeployError) -> None:
        """Give up a sink that hangs: it is closed if ever it returns."""
        self.error = self.error or error
        self._inbox.discard()

    def state(self) -> SinkState:
        """What it did so far."""
        error = "" if self.error is None else str(self.error)
        return SinkState(self.name, self._written, self._inbox.dropped + self._spoiled, error)

    def _work(self) -> None:
        try:
            self._write_all()
        except Closed:
            pass
        except Exception as error:
            self._spoiled += 1
            self._fail(error)
        self._inbox.discard()
        self._busy_since_s = time.monotonic()  # an encoder may hang in `close` as well
        try:
            self._sink.close()
        except Exception as error:
            self._fail(error)
        self._busy_since_s = None

    def _write_all(self) -> None:
        while True:
            result = self._inbox.get()
            if result is None:
                continue
            self._busy_since_s = time.monotonic()
            self._sink.write(self._fresh(result) if self._fresh else result)
            self._busy_since_s = None
            self._written += 1

    def _fail(self, error: Exception) -> None:
        if self.error is None:
            self.error = error if isinstance(error, LipdeployError) else self._named(error)
        if isinstance(error, InputError):  # it was no mistake when the run began
            self.error = LipdeployError(str(error))

    def _named(self, error: Exception) -> LipdeployError:
        what = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        named = LipdeployError(
            f"sink {self.name} failed ({type(error).__name__}: {what}); "
            "check where it writes to, or name another sink"
        )
        named.__cause__ = error
        return named
