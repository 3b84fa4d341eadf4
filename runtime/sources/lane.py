"""One of several sources: read by its own thread, its frames wait here for their turn."""

from __future__ import annotations

import threading
from collections import deque

from lipdeploy.runtime.sources.frame import Frame, Source

_FILE_QUEUE = 2


class Lane:
    """The newest frame of a live source, or the next few of a file.

    Args:
        name: the `source_id`.
        source: what is read.
        changed: shared by all lanes: told when a frame is there, was taken, or the source is over.

    Attributes:
        missed: frames that the source lost or that were replaced before they were taken.
        error: what the source raised when it ended.
        over: the source has ended; a frame may still wait.
    """

    def __init__(self, name: str, source: Source, changed: threading.Condition) -> None:
        self.name = name
        self.missed = 0
        self.error: Exception | None = None
        self.over = False
        self._source = source
        self._changed = changed
        self._waiting: deque[Frame] = deque()
        self._next_index = 0
        self._closed = False
        self._thread = threading.Thread(target=self._read, daemon=True)

    @property
    def ready(self) -> bool:
        """Whether a frame waits."""
        return bool(self._waiting)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def take(self) -> tuple[Frame, int] | None:
        """The oldest frame that waits, and how many were missed between it and the one before."""
        with self._changed:
            if not self._waiting:
                return None
            frame = self._waiting.popleft()
            gap = max(0, frame.index - self._next_index)
            self.missed += gap
            self._next_index = frame.index + 1
            self._changed.notify_all()
            return frame, gap

    def close(self) -> None:
        """End the source; what waits is forgotten."""
        with self._changed:
            self._closed = self.over = True
            self._waiting.clear()
            self._changed.notify_all()
        self._source.close()

    def _read(self) -> None:
        try:
            for frame in self._source:
                if not self._put(frame):
                    return
        except Exception as error:  # the thread that iterates raises it, when all are over
            self.error = error
        finally:
            with self._changed:
                self.over = True
                self._changed.notify_all()

    def _put(self, frame: Frame) -> bool:
        """Add a frame; of a live source it replaces the one that waits. False when closed."""
        with self._changed:
            if self._source.live:
                self._waiting.clear()
            self._changed.wait_for(lambda: len(self._waiting) < _FILE_QUEUE or self._closed)
            if self._closed:
                return False
            self._waiting.append(frame)
            self._changed.notify_all()
            return True
