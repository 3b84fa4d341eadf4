"""The newest picture for any number of viewers, encoded once and only when one is looking."""

from __future__ import annotations

import secrets
import threading
import time
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from lipdeploy.runtime.lettering import Style, styles, write
from lipdeploy.runtime.result import Result

STALE_S = 1.0  # a picture older than this is not shown as if it were live
_LONGEST = 1280  # pixels; more is bandwidth that a browser scales away
_QUALITY = 80
_POLL_S = 0.25


@dataclass(frozen=True)
class Picture:
    """An encoded overlay.

    Attributes:
        key: names it; the next one has another, also after a restart of the server.
        jpeg: the file; grey and crossed out where it was encoded as an old one.
        written_s: `time.monotonic()` when the stream delivered it.
        state: of its result.
        reason: of its result.
    """

    key: str
    jpeg: bytes
    written_s: float
    state: str
    reason: str

    @property
    def age_ms(self) -> int:
        """Milliseconds since the stream delivered it."""
        return round((time.monotonic() - self.written_s) * 1e3)


class PictureFeed:
    """Keeps the newest result only, so that no viewer can make memory grow or the stream wait."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._encoding = threading.Lock()
        self._run = secrets.token_hex(4)
        self._number = 0
        self._result: Result | None = None
        self._written_s = 0.0
        self._encoded: Picture | None = None
        self._closed = False

    @property
    def closed(self) -> bool:
        """Whether the stream has ended."""
        return self._closed

    @property
    def age_s(self) -> float | None:
        """Seconds since the newest result; None before the first."""
        with self._changed:
            return None if self._result is None else time.monotonic() - self._written_s

    @property
    def newest(self) -> Result | None:
        """The newest result."""
        with self._changed:
            return self._result

    def put(self, result: Result) -> None:
        """Take a result; the one before is forgotten."""
        with self._changed:
            self._result = result
            self._written_s = time.monotonic()
            self._number += 1
            self._changed.notify_all()

    def close(self) -> None:
        """Send every waiting viewer home."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def newer(self, seen: str, timeout_s: float) -> Picture | None:
        """The newest picture that is not `seen`, or None where none comes in time."""
        until_s = time.monotonic() + timeout_s
        with self._changed:
            while self._key() in ("", seen):
                left_s = until_s - time.monotonic()
                if left_s <= 0 or self._closed:
                    return None
                self._changed.wait(min(left_s, _POLL_S))
        return self._picture()

    def _key(self) -> str:
        """Of the newest picture as it is to be shown now; empty where there is none."""
        if self._result is None or self._result.overlay is None:
            return ""
        old = time.monotonic() - self._written_s > STALE_S
        return f"{self._run}-{self._number}{'-old' if old else ''}"

    def _picture(self) -> Picture | None:
        with self._encoding:  # viewers who come at once wait for the one who encodes
            with self._changed:
                key, result, written_s = self._key(), self._result, self._written_s
            if result is None or result.overlay is None:
                return None
            if self._encoded is None or self._encoded.key != key:
                jpeg = encoded(result.overlay, old=key.endswith("-old"))
                self._encoded = Picture(key, jpeg, written_s, result.state, result.reason)
            return self._encoded


def encoded(overlay: npt.NDArray[np.uint8], old: bool = False) -> bytes:
    """A JPEG of an RGB picture, at most 1280 pixels long; an old one is grey and says so."""
    picture = _reduced(overlay)
    if old:
        grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) // 2
        picture = np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR), np.uint8)
        _write_old(picture)
    else:
        picture = np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), np.uint8)
    _, jpeg = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return jpeg.tobytes()


def _reduced(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    scale = _LONGEST / max(image.shape[:2])
    if scale >= 1:
        return image
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def _write_old(picture: npt.NDArray[np.uint8]) -> None:
    heading, _ = styles(min(picture.shape[:2]))
    big = Style(round(heading.line * 1.5), bold=True)
    text = "NO NEW FRAME"
    x = max(0, (picture.shape[1] - big.width(text)) // 2)
    y = max(0, (picture.shape[0] - big.line) // 2)
    picture[y : y + big.line * 5 // 4] = 0
    write(picture, text, (x, y), big)
