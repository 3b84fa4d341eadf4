"""One connection to a live source, and reading it in a thread of its own, which may hang."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Protocol

import numpy as np
import numpy.typing as npt

from lipdeploy.core.errors import LipdeployError


@dataclass(frozen=True)
class Shot:
    """What one read of a connection gives.

    Attributes:
        image: RGB, shape (H, W, 3), uint8.
        captured_s: `time.monotonic()` at its capture.
        time_ms: time of the source's own clock; None where it has none.
        skipped: frames that are known to have been lost just before it.
        damaged: what is known to be wrong with the pixels.
        labels: class ids where known, shape (H, W), uint8.
    """

    image: npt.NDArray[np.uint8]
    captured_s: float
    time_ms: float | None = None
    skipped: int = 0
    damaged: str = ""
    labels: npt.NDArray[np.uint8] | None = None


class Connection(Protocol):
    """An opened device or stream, used by one thread."""

    @property
    def opened(self) -> bool:
        """Whether frames can be read."""

    @property
    def fps(self) -> float:
        """Nominal frames a second."""

    @property
    def what(self) -> str:
        """Size and format as negotiated, for `describe`; may be empty."""

    def shot(self) -> Shot | None:
        """Wait for the next frame; None where the connection ended."""

    def ended(self, frames: int) -> bool:
        """Whether so many frames are all there is, so that nothing was lost."""

    def release(self) -> None:
        """Give the device or stream back."""


Connect = Callable[[], Connection]


class Silent(Exception):
    """Nothing came in time: the device or the network hangs."""


class Abandoned(Exception):
    """The reading was given up by another thread."""


class Reading:
    """Opens and reads one connection in its own thread; a hung one is left behind.

    A frame that arrives after `abandon` is dropped with it: nothing of an old connection can be
    taken for a new one. The thread releases the connection, whenever its call returns.
    """

    def __init__(self, connect: Connect) -> None:
        self._asked: SimpleQueue[bool] = SimpleQueue()
        self._answers: SimpleQueue[Connection | Shot | BaseException | None] = SimpleQueue()
        self._abandoned = threading.Event()
        self._connection: Connection | None = None
        self._thread = threading.Thread(target=self._work, args=(connect,), daemon=True)
        self._thread.start()

    def opened(self, timeout_s: float) -> Connection | None:
        """The connection, or None where it cannot be opened; called once, before `take`.

        Raises:
            Silent: not within `timeout_s`.
            Abandoned: given up while waiting.
            LipdeployError: what opening raised.
        """
        answer = self._answer(timeout_s)
        self._connection = None if isinstance(answer, Shot) else answer
        return self._connection

    def take(self, timeout_s: float) -> Shot | None:
        """The next frame, or None where the connection ended; raises what `opened` does."""
        self._asked.put(True)
        answer = self._answer(timeout_s)
        return answer if isinstance(answer, Shot) else None

    @property
    def alive(self) -> bool:
        """Whether the thread goes on: after `abandon`, a call that does not return."""
        return self._thread.is_alive()

    def ended(self, frames: int) -> bool:
        """Whether the connection says that so many frames are all."""
        return self._connection is not None and self._connection.ended(frames)

    def abandon(self, wait_s: float = 0.0) -> None:
        """End the thread; wait for it to release the device, unless it hangs for `wait_s`."""
        self._abandoned.set()
        self._asked.put(False)
        self._answers.put(Abandoned())
        self._thread.join(wait_s)

    def _answer(self, timeout_s: float) -> Connection | Shot | None:
        try:
            answer = self._answers.get(timeout=timeout_s)
        except Empty:
            raise Silent from None
        if isinstance(answer, BaseException):
            raise answer
        if self._abandoned.is_set():
            raise Abandoned
        return answer

    def _work(self, connect: Connect) -> None:
        connection: Connection | None = None
        try:
            connection = connect()
            self._answers.put(connection if connection.opened else None)
            while self._asked.get() and not self._abandoned.is_set():
                self._answers.put(connection.shot())
        except BaseException as error:  # the thread that waits raises it
            self._answers.put(_told(error))
        finally:
            if connection is not None:
                connection.release()


def _told(error: BaseException) -> BaseException:
    """OpenCV's own exception quotes what it was given, perhaps a password."""
    if isinstance(error, (LipdeployError, MemoryError)):
        return error
    return LipdeployError(f"reading the source failed ({type(error).__name__}); check it")
