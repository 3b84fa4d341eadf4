"""When a frame was captured that came through buffers: a link that stalls delivers old frames."""

from __future__ import annotations

_DRIFT = 1e-3  # of the time that passes: more than two crystals are apart


class CaptureClock:
    """Tells how old a frame is from its own time stamp and its arrival.

    The quickest frame so far is taken to be as old as its way is long; each other one is older by
    what it lags behind. Until frames come at the pace of their stamps, what was buffered while the
    connection was made is being delivered: such a frame may be as old as the connection.

    Args:
        began_s: `time.monotonic()` when connecting began.
    """

    def __init__(self, began_s: float) -> None:
        self._began_s = began_s
        self._settled = False
        self._least_lag_s = 0.0
        self._last: tuple[float, float] | None = None

    def captured_s(self, now_s: float, stamp_s: float) -> float:
        """When the frame was captured that arrived at `now_s`; never later than that.

        Args:
            now_s: `time.monotonic()`.
            stamp_s: of the stream's own clock; one that does not advance tells nothing.
        """
        last, self._last = self._last, (now_s, stamp_s)
        lag_s = now_s - stamp_s
        if last is None:
            self._least_lag_s = lag_s
            return self._began_s
        passed_s, advanced_s = now_s - last[0], stamp_s - last[1]
        if advanced_s <= 0:  # the stream's clock was set
            self._settled, self._least_lag_s = True, lag_s
        self._settled |= passed_s >= advanced_s / 2
        self._least_lag_s = min(self._least_lag_s + _DRIFT * passed_s, lag_s)
        return now_s - (lag_s - self._least_lag_s) if self._settled else self._began_s
