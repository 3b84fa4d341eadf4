"""Live sources through OpenCV: a V4L2 camera, or a network stream that reconnects."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence

import cv2

from lipdeploy.core.errors import SourceError, SourceLostError
from lipdeploy.runtime.sources.decoder import Decoder
from lipdeploy.runtime.sources.frame import Frame

_TIMEOUT_MS = 5000
_NETWORK_PARAMETERS = (
    *(cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, _TIMEOUT_MS),
    *(cv2.CAP_PROP_READ_TIMEOUT_MSEC, _TIMEOUT_MS),
)
BACKOFF_S = (0.5, 1.0, 2.0)


class LiveCapture:
    """Frames as they arrive. Reconnects after each wait of `backoff_s`, then gives up.

    Raises:
        SourceError: the first connection failed as often.
    """

    live = True
    still = False

    def __init__(
        self,
        name: str,
        connect: Callable[[], Decoder],
        advice: str,
        backoff_s: Sequence[float] = (),
    ) -> None:
        self._name = name
        self._connect = connect
        self._advice = advice
        self._backoff_s = backoff_s
        self._closed = False
        self._reading = threading.Lock()
        self._decoder = self._connected()
        if self._decoder is None:
            raise SourceError(f"{name} cannot be opened{self._tries()}; {advice}")
        self.fps = self._decoder.fps

    def describe(self) -> str:
        """The device or the URL without its password."""
        return f"{self._name} (live, {self.fps:g} fps)"

    def __iter__(self) -> Iterator[Frame]:
        start_s = time.monotonic()
        index = since = 0
        while not self._closed:
            with self._reading:
                image = self._decoder.read() if self._decoder else None
            now_s = time.monotonic()
            if image is not None:
                yield Frame(image, index, (now_s - start_s) * 1e3, now_s, str(index))
                index += 1
                since += 1
            elif self._played_to_the_end(since):
                return
            elif not self._closed:
                self._reconnect(index)
                since = 0

    def _played_to_the_end(self, frames: int) -> bool:
        """Whether this was a file behind a URL, which declares its length, and is over."""
        declared = self._decoder.declared if self._decoder else 0
        return 0 < declared <= frames + max(2, declared // 100)

    def _reconnect(self, frames: int) -> None:
        self._release()
        self._decoder = self._connected(self._backoff_s) if self._backoff_s else None
        if self._decoder is None and not self._closed:
            raise SourceLostError(
                f"{self._name} broke off after {frames} frames{self._tries()}; {self._advice}"
            )

    def _connected(self, waits_s: Sequence[float] | None = None) -> Decoder | None:
        """A decoder after at most one try a wait; the first try of all waits for nothing."""
        for wait_s in (0.0, *self._backoff_s) if waits_s is None else waits_s:
            self._sleep(wait_s)
            if self._closed:
                return None
            decoder = self._connect()
            if decoder.opened:
                return decoder
            decoder.release()
        return None

    def _sleep(self, wait_s: float) -> None:
        end_s = time.monotonic() + wait_s
        while not self._closed and (left_s := end_s - time.monotonic()) > 0:
            time.sleep(min(left_s, 0.05))

    def _tries(self) -> str:
        return f" in {len(self._backoff_s) + 1} tries" if self._backoff_s else ""

    def _release(self) -> None:
        if self._decoder:
            self._decoder.release()
            self._decoder = None

    def close(self) -> None:
        """End the iteration and release the device, unless a read of it is stuck."""
        self._closed = True
        if self._reading.acquire(timeout=1.0):
            self._release()
            self._reading.release()


def open_camera(device: str | int) -> LiveCapture:
    """A V4L2 camera by number or device path."""
    name = f"camera {device if isinstance(device, str) else f'/dev/video{device}'}"
    advice = "list cameras with `ls -l /dev/v4l/by-id`, and join group `video` to use them"
    return LiveCapture(name, lambda: Decoder(device, cv2.CAP_V4L2), advice)


def open_network(url: str, shown: str, backoff_s: Sequence[float] = BACKOFF_S) -> LiveCapture:
    """A network stream; `shown` is the URL as messages may quote it."""
    advice = "check the address, the password and that the stream runs"
    return LiveCapture(
        f"stream {shown}",
        lambda: Decoder(url, cv2.CAP_FFMPEG, _NETWORK_PARAMETERS),
        advice,
        backoff_s,
    )
