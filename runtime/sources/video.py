"""A video file: every frame in order."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from lipdeploy.core.errors import SourceError, SourceLostError
from lipdeploy.runtime.sources.decoder import Decoder
from lipdeploy.runtime.sources.frame import Frame
from lipdeploy.runtime.sources.frame_size import too_large

# These containers count their frames; others declare a duration, of which audio may be the longer.
_EXACT = frozenset({".mp4", ".m4v", ".mov", ".avi"})


class VideoFile:
    """Frames of a file, in order; its first frame is decoded when it is opened."""

    live = False
    still = False
    recorded = True

    def __init__(self, path: Path) -> None:
        self._path = path
        self._decoder = Decoder(str(path.absolute()), cv2.CAP_FFMPEG)
        if wrong := too_large(*self._decoder.size):
            self._decoder.release()
            raise SourceError(f"video {path} cannot be taken: {wrong}")
        self._first = self._decoder.read() if self._decoder.opened else None
        if self._first is None:
            self._decoder.release()
            size = path.stat().st_size
            raise SourceError(
                f"video {path} cannot be decoded ({size} bytes; truncated, empty or no video); "
                "play it with ffplay, or record it again"
            )
        self.fps = self._decoder.fps

    def describe(self) -> str:
        """Path, declared length and rate."""
        return (
            f"video {self._path} ({self._decoder.declared or 'unknown'} frames, {self.fps:g} fps)"
        )

    def __iter__(self) -> Iterator[Frame]:
        image, index = self._first, 0
        self._first = None
        while image is not None:
            time_ms = self._decoder.time_ms
            yield Frame(image, index, time_ms, time.monotonic(), str(index))
            index += 1
            image = self._next()
        self._check_complete(index)

    def _next(self) -> npt.NDArray[np.uint8] | None:
        try:
            return self._decoder.read()
        except SourceLostError as error:
            raise SourceLostError(f"video {self._path} changes in the middle: {error}") from error

    def _check_complete(self, decoded: int) -> None:
        declared = self._decoder.declared
        tolerated = max(2.0, declared * 0.01)
        if self._path.suffix.lower() not in _EXACT:
            tolerated = max(self.fps, declared * 0.1)
        if declared - decoded > tolerated:
            raise SourceLostError(
                f"video {self._path} broke off: {decoded} of {declared} declared frames were "
                "decoded; the file is truncated or damaged, record or copy it again"
            )

    def close(self) -> None:
        """Release the file."""
        self._decoder.release()
