"""How long nothing could be claimed, and how soon it could again once the fault was over."""

from __future__ import annotations

from dataclasses import dataclass

from lipdeploy.runtime.result import Result


@dataclass(frozen=True)
class OutageReport:
    """Stretches without a claim between frames with one; of several sources each has its own.

    Attributes:
        count: stretches that began, the one at the start of the run included.
        total_s: their length together.
        longest_s: the longest.
        open: whether one goes on.
        recovery_s: of the last one that ended: from its last sign (the capture of the last bad
            frame, or the last moment without any) until the first good frame was handed to the
            sinks. None without any. By the clock where live, else by the recording's time.
        longest_recovery_s: the longest such time.
    """

    count: int = 0
    total_s: float = 0.0
    longest_s: float = 0.0
    open: bool = False
    recovery_s: float | None = None
    longest_recovery_s: float | None = None


@dataclass
class _Stretch:
    began_s: float
    last_sign_s: float

    @property
    def lasted_s(self) -> float:
        return max(0.0, self.last_sign_s - self.began_s)


class Outages:
    """Follows the results in the order in which they are shown.

    Args:
        live: count by the clock, else by the time of the recording.
    """

    def __init__(self, live: bool) -> None:
        self._live = live
        self._open: dict[str, _Stretch] = {}
        self._count = 0
        self._total_s = self._longest_s = 0.0
        self._recovery_s: float | None = None
        self._longest_recovery_s: float | None = None

    def add(self, result: Result, now_s: float) -> None:
        """Count a result that the sinks were handed at `now_s` (`time.monotonic()`)."""
        if result.state == "withheld":
            self._bad(result, now_s)
            return
        # Before the first frame of any source the silence is nobody's: any good frame ends it.
        ended = [self._open.pop(name, None) for name in {result.frame.source_id, ""}]
        for stretch in filter(None, ended):
            self._good(stretch, now_s if self._live else result.frame.time_ms * 1e-3)

    def report(self) -> OutageReport:
        """What was seen so far; the length of an open one counts up to its last sign."""
        lasted_s = [stretch.lasted_s for stretch in self._open.values()]
        return OutageReport(
            self._count,
            self._total_s + sum(lasted_s),
            max([self._longest_s, *lasted_s]),
            bool(self._open),
            self._recovery_s,
            self._longest_recovery_s,
        )

    def _bad(self, result: Result, now_s: float) -> None:
        sign_s = result.frame.captured_s if self._live else result.frame.time_ms * 1e-3
        if result.placeholder or result.reason == "stale":
            sign_s = now_s  # of a frame that is too late the fault is the delay
        stretch = self._open.get(result.frame.source_id)
        if stretch is None:
            self._open[result.frame.source_id] = _Stretch(sign_s, sign_s)
            self._count += 1
        else:
            stretch.last_sign_s = max(sign_s, stretch.began_s)

    def _good(self, stretch: _Stretch, at_s: float) -> None:
        lasted_s = max(0.0, at_s - stretch.began_s)
        self._total_s += lasted_s
        self._longest_s = max(self._longest_s, lasted_s)
        self._recovery_s = max(0.0, at_s - stretch.last_sign_s)
        self._longest_recovery_s = max(self._longest_recovery_s or 0.0, self._recovery_s)
