"""What every sink of results can do."""

from __future__ import annotations

from typing import Protocol

from lipdeploy.runtime.result import Result


class Sink(Protocol):
    """Takes results in order; constructing opens it: a bad path fails before the first frame."""

    @property
    def wants_overlay(self) -> bool:
        """Whether `write` needs `result.overlay`."""

    def write(self, result: Result) -> None:
        """Take one result."""

    def describe(self) -> str:
        """Where it writes; empty for nowhere."""

    def close(self) -> None:
        """Finish the file; safe to call twice, and with nothing written."""
