"""Results that go nowhere, for measuring and checking."""

from __future__ import annotations

from lipdeploy.runtime.result import Result


class NullSink:
    """Takes everything, keeps nothing."""

    wants_overlay = False

    def write(self, result: Result) -> None:
        """Forget it."""

    def describe(self) -> str:
        """Nowhere."""
        return ""

    def close(self) -> None:
        """Nothing to finish."""
