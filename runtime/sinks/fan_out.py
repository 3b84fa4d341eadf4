"""Several sinks side by side, none of which can stall the others or the end of the run."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from lipdeploy.core.errors import LipdeployError
from lipdeploy.runtime.result import Result
from lipdeploy.runtime.sinks.isolated import IsolatedSink
from lipdeploy.runtime.sinks.sink import Sink
from lipdeploy.runtime.status import SinkState

_OFFER_S = 0.05


class FanOut:
    """Hands every result to every sink that works.

    Args:
        sinks: opened sinks; each is closed exactly once, in its own thread.
        lossless: sinks get every result, and the slowest sets the pace: the source is not live.
        fresh: takes the claim off a result that is too old by now.
        stall_s: a sink that is busy with one result for so long is given up.
    """

    def __init__(
        self,
        sinks: Sequence[Sink],
        lossless: bool,
        fresh: Callable[[Result], Result],
        stall_s: float,
    ) -> None:
        self._sinks = [IsolatedSink(sink, lossless, fresh) for sink in sinks]
        self._working = list(self._sinks)
        self._stall_s = stall_s

    def start(self) -> None:
        """Start the threads of the sinks."""
        for sink in self._sinks:
            sink.start()

    def show(self, result: Result) -> None:
        """Hand a result to the sinks; waits for slow ones only where it must be lossless."""
        waiting = [s for s in self._working if s.takes_placeholders or not result.placeholder]
        while waiting:
            waiting = [sink for sink in waiting if not sink.offer(result, _OFFER_S)]
            self._give_up_stuck()
            waiting = [sink for sink in waiting if sink.error is None]

    def hurry(self, stall_s: float) -> None:
        """The run is to end: from now on a stuck sink is waited for no longer than this."""
        self._stall_s = min(self._stall_s, stall_s)

    def newly_failed(self) -> list[Exception]:
        """Errors of the sinks that failed since the last call; they get nothing more."""
        self._give_up_stuck()
        failed = [sink for sink in self._working if sink.error is not None]
        self._working = [sink for sink in self._working if sink not in failed]
        return [sink.error for sink in failed if sink.error is not None]

    @property
    def none_left(self) -> bool:
        """Whether there were sinks, and all of them failed."""
        return bool(self._sinks) and not self._working

    def finish(self, timeout_s: float) -> None:
        """Let all sinks write what waits and close, side by side, for `timeout_s` together."""
        end_s = time.monotonic() + timeout_s
        for sink in self._sinks:
            sink.finish()
        for sink in self._sinks:
            if not sink.join(end_s - time.monotonic()):
                sink.abandon(_hangs(sink, f"did not finish within {timeout_s:g} s"))

    def states(self) -> tuple[SinkState, ...]:
        """What each sink did."""
        return tuple(sink.state() for sink in self._sinks)

    def _give_up_stuck(self) -> None:
        now_s = time.monotonic()
        for sink in self._working:
            if sink.error is None and sink.busy_s(now_s) > self._stall_s:
                sink.abandon(_hangs(sink, f"took nothing for {self._stall_s:g} s"))


def _hangs(sink: IsolatedSink, what: str) -> LipdeployError:
    return LipdeployError(
        f"sink {sink.name} {what} and was given up, what it wrote may be incomplete; "
        "check the disk or the network that it writes to"
    )
