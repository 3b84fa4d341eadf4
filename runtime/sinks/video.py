"""A video file of overlays, playable however the run ends."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from lipdeploy.core.errors import InputError, LipdeployError
from lipdeploy.runtime.result import Result
from lipdeploy.runtime.sinks.path import writable_file
from lipdeploy.runtime.sources.decoder import quiet_opencv

SUFFIXES = frozenset({".mp4", ".mkv", ".avi"})


class VideoSink:
    """MPEG-4 in `.mp4`, `.mkv` or `.avi`; the first frame fixes the size, others are letterboxed.

    A power cut leaves a playable file in `.mkv` and `.avi`; an `.mp4` needs `close`.
    """

    wants_overlay = True

    def __init__(self, path: Path, fps: float) -> None:
        quiet_opencv()
        self._path = writable_file(path)
        self._fps = fps
        self._writer: cv2.VideoWriter | None = None
        self._size = (0, 0)

    def write(self, result: Result) -> None:
        """Append the overlay.

        Raises:
            LipdeployError: the encoder cannot be opened.
        """
        if result.overlay is None:
            return
        if self._writer is None:
            self._writer = self._opened(result.overlay)
        picture = letterboxed(result.overlay, *self._size)
        self._writer.write(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))

    def _opened(self, overlay: npt.NDArray[np.uint8]) -> cv2.VideoWriter:
        height, width = overlay.shape[:2]
        self._size = (width + width % 2, height + height % 2)  # encoders take even sizes only
        code = cv2.VideoWriter.fourcc(*"mp4v")
        writer = cv2.VideoWriter(str(self._path), cv2.CAP_FFMPEG, code, self._fps, self._size)
        if not writer.isOpened():
            raise LipdeployError(
                f"video {self._path} cannot be encoded at {width}x{height}, {self._fps:g} fps; "
                "record to .mkv or to frame_%06d.png"
            )
        return writer

    def describe(self) -> str:
        """The file."""
        return str(self._path)

    def close(self) -> None:
        """Write the index; a file without frames is removed.

        Raises:
            LipdeployError: nothing of what was encoded reached the disk.
        """
        if self._writer is not None:
            self._writer.release()
            self._writer = None
            if not self._path.is_file() or self._path.stat().st_size == 0:
                raise LipdeployError(f"video {self._path} was not written; is the disk full?")
        elif self._path.is_file() and self._path.stat().st_size == 0:
            self._path.unlink()


def video_sink(path: Path, fps: float) -> VideoSink:
    """Open a video sink by its suffix.

    Raises:
        InputError: another suffix, or a path that cannot be written.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f"sink {path} is no known video; expected {', '.join(sorted(SUFFIXES))}")
    return VideoSink(path, min(max(fps, 1.0), 240.0))


def letterboxed(image: npt.NDArray[np.uint8], width: int, height: int) -> npt.NDArray[np.uint8]:
    """The image, shrunk or enlarged to fit, on black. Shape: (h, w, 3) to (height, width, 3)."""
    rows, columns = image.shape[:2]
    if (rows, columns) == (height, width):
        return image
    scale = min(width / columns, height / rows)
    if abs(columns - width) <= 1 and abs(rows - height) <= 1:
        scale = 1.0
    size = (min(width, max(1, round(columns * scale))), min(height, max(1, round(rows * scale))))
    fitted = cv2.resize(
        image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    )
    left, top = (width - size[0]) // 2, (height - size[1]) // 2
    boxed = np.zeros((height, width, 3), np.uint8)
    boxed[top : top + size[1], left : left + size[0]] = fitted
    return boxed
