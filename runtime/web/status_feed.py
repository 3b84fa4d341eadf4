"""Status of the stream at 4 Hz, written once however many visitors read it."""

from __future__ import annotations

import json
import logging
import threading
import time
from dataclasses import astuple
from typing import Any

from lipdeploy.runtime.web.context import PageContext
from lipdeploy.runtime.web.history import History
from lipdeploy.runtime.web.page_status import page_status
from lipdeploy.runtime.web.pictures import PictureFeed

PERIOD_S = 0.25

_log = logging.getLogger(__name__)
_PER_SECOND = round(1 / PERIOD_S)


class StatusFeed:
    """A thread that asks the stream, keeps the newest answer and the last minutes."""

    def __init__(self, context: PageContext, pictures: PictureFeed, history: History) -> None:
        self._context = context
        self._pictures = pictures
        self._history = history
        self._changed = threading.Condition()
        self._number = 0
        self._text = "{}"
        self._started_s = time.monotonic()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="page status", daemon=True)

    def start(self) -> None:
        """Begin; the stream is first asked after a quarter of a second, when it is complete."""
        self._thread.start()

    def close(self) -> None:
        """End, and send every waiting visitor home."""
        self._stopped.set()
        with self._changed:
            self._changed.notify_all()
        if self._thread.ident is not None:
            self._thread.join(2.0)

    @property
    def closed(self) -> bool:
        """Whether the stream has ended."""
        return self._stopped.is_set()

    @property
    def text(self) -> str:
        """JSON of how the stream is doing now."""
        return json.dumps(self._fields(), allow_nan=False)

    @property
    def history_text(self) -> str:
        """JSON of the last minutes: columns' names and rows, one a second."""
        columns = ["at_s", "frames", "share", "latency_ms", "withheld", "dropped"]
        rows = [astuple(sample) for sample in self._history.samples]
        return json.dumps({"columns": columns, "rows": rows}, allow_nan=False)

    def newer(self, seen: int, timeout_s: float) -> tuple[int, str]:
        """Number and text of the newest status; those already seen where none comes in time."""
        with self._changed:
            self._changed.wait_for(lambda: self._number != seen or self.closed, timeout_s)
            return self._number, self._text

    def _fields(self) -> dict[str, Any]:
        pictures = self._pictures
        uptime_s = time.monotonic() - self._started_s
        return page_status(self._context, pictures.newest, pictures.age_s, uptime_s)

    def _publish(self) -> dict[str, Any]:
        fields = self._fields()
        samples = self._history.samples
        fields["second"] = astuple(samples[-1]) if samples else None
        text = json.dumps(fields, allow_nan=False)
        with self._changed:
            self._number += 1
            self._text = text
            self._changed.notify_all()
        return fields

    def _run(self) -> None:
        ticks, failing = 0, False
        while not self._stopped.wait(PERIOD_S):
            try:
                fields = self._publish()
            except Exception:  # visitors see silence as a broken connection, which it is
                if not failing:  # once, not four times a second for days
                    _log.exception("the stream did not say how it is doing")
                failing = True
                continue
            failing = False
            ticks += 1
            if ticks % _PER_SECOND == 0:
                at_s = time.monotonic() - self._started_s
                self._history.end_second(at_s, fields.get("dropped"))
