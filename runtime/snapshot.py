"""The newest result as a page, a metric or a supervisor shows it; keeps no picture."""

from __future__ import annotations

import threading
from typing import Any

from lipdeploy.core.figures import percent_at_least
from lipdeploy.runtime.rate import Rate
from lipdeploy.runtime.result import Result
from lipdeploy.runtime.status import StreamStatus


class Snapshot:
    """What is to be told of the newest result.

    Args:
        class_names: of the model, by class id.
    """

    def __init__(self, class_names: tuple[str, ...]) -> None:
        self._class_names = class_names
        self._lock = threading.Lock()
        self._newest: dict[str, Any] = {"state": "waiting", "reason": ""}

    def show(self, result: Result) -> None:
        """A result was handed to the sinks."""
        shares = result.regions.class_share if result.claims and result.regions else {}
        newest = {
            "state": result.state,
            "reason": result.reason,
            "eps": result.eps,
            "certified_share": result.certified_share,
            "class_shares": {self._class_names[k]: share for k, share in shares.items()},
        }
        with self._lock:
            self._newest = newest

    def status(self, **counts: Any) -> StreamStatus:
        """The newest result at the budget it was judged with, and the counts of the stream."""
        with self._lock:
            newest = self._newest
        return StreamStatus(**{**counts, **newest})

    @property
    def reason(self) -> str:
        """Why the newest result is withheld; empty where it is not."""
        with self._lock:
            return str(self._newest["reason"])

    def line(self, rate: Rate) -> str:
        """For a supervisor: state, rate and certified share in one line."""
        with self._lock:
            newest = self._newest
        if newest["state"] != "ok":
            return f"{newest['state']} {newest['reason']}"
        share = newest.get("certified_share")
        stable = "nothing is claimed" if share is None else f"{percent_at_least(share)}% stable"
        return f"{rate.fps:.1f} frames a second, {stable}"
