"""The newest latencies in memory that is taken once and never grows."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_NAMES = ("p50", "p95", "p99", "max")


class Latencies:
    """A ring of latencies with the times at which they were seen.

    Args:
        kept: how many.
    """

    def __init__(self, kept: int = 100_000) -> None:
        self._values_ms = np.zeros(kept)
        self._seen_at_s = np.full(kept, -np.inf)
        self._count = 0

    def add(self, value_ms: float, now_s: float) -> None:
        """Keep a latency; the oldest is forgotten where the ring is full."""
        at = self._count % self._values_ms.size
        self._values_ms[at], self._seen_at_s[at] = value_ms, now_s
        self._count += 1

    def percentiles(self) -> dict[str, float]:
        """p50, p95, p99 and max of all that are kept; zeros of none."""
        return _percentiles(self._values_ms[: self._count])

    def percentiles_since(self, since_s: float) -> dict[str, float]:
        """The same of those that were seen at `since_s` or later."""
        kept = slice(0, self._count)
        return _percentiles(self._values_ms[kept][self._seen_at_s[kept] >= since_s])


def _percentiles(values: npt.NDArray[np.float64]) -> dict[str, float]:
    if not values.size:
        return dict.fromkeys(_NAMES, 0.0)
    return dict(zip(_NAMES, np.percentile(values, (50, 95, 99, 100)).tolist(), strict=True))
