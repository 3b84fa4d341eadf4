"""OpenCV's video decoder without its noise on stderr."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from lipdeploy.core.errors import SourceLostError
from lipdeploy.runtime.sources.connection import Shot
from lipdeploy.runtime.sources.frame_size import too_large


def quiet_opencv() -> None:
    """Keep OpenCV and FFmpeg off stderr: their warnings quote URLs, passwords included."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


class Decoder:
    """A `cv2.VideoCapture` that delivers RGB of 8 bits."""

    def __init__(self, target: str | int, backend: int, parameters: Sequence[int] = ()) -> None:
        quiet_opencv()
        self._capture = cv2.VideoCapture(target, backend, list(parameters))

    @property
    def opened(self) -> bool:
        """Whether frames can be read."""
        return bool(self._capture.isOpened())

    @property
    def fps(self) -> float:
        """Nominal frames a second; 25 where the container has none that makes sense."""
        fps = float(self._capture.get(cv2.CAP_PROP_FPS))
        return fps if 0.1 <= fps <= 1000 else 25.0

    @property
    def declared(self) -> int:
        """Frames that the container says it holds; 0 where it does not say."""
        frames = float(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        return int(frames) if 0 < frames < 1e9 else 0

    @property
    def time_ms(self) -> float:
        """Container time of the frame read last."""
        return float(self._capture.get(cv2.CAP_PROP_POS_MSEC))

    @property
    def size(self) -> tuple[int, int]:
        """Width and height that the container or device declares; (0, 0) where it does not."""
        width = self._capture.get(cv2.CAP_PROP_FRAME_WIDTH)
        height = self._capture.get(cv2.CAP_PROP_FRAME_HEIGHT)
        return max(0, int(width)), max(0, int(height))

    @property
    def pixel_format(self) -> str:
        """The four characters of the device's format, for example MJPG; empty where unknown."""
        code = int(self._capture.get(cv2.CAP_PROP_FOURCC))
        text = "".join(chr(code >> shift & 0xFF) for shift in (0, 8, 16, 24)) if code > 0 else ""
        return text if text.isprintable() else ""

    @property
    def what(self) -> str:
        """See `Connection.what`."""
        width, height = self.size
        return f"{width}x{height}" if width and height else ""

    def set(self, property_id: int, value: float) -> bool:
        """Ask the device for a value; whether it took it."""
        return bool(self._capture.set(property_id, value))

    def read(self) -> npt.NDArray[np.uint8] | None:
        """The next frame in RGB, shape (H, W, 3), or None where there is none.

        Raises:
            SourceLostError: the frame is larger than is taken.
        """
        ok, image = self._capture.read()
        if not ok or image is None or image.size == 0:
            return None
        if wrong := too_large(image.shape[1], image.shape[0]):
            raise SourceLostError(wrong)
        code = cv2.COLOR_GRAY2RGB if image.ndim == 2 else cv2.COLOR_BGR2RGB
        return np.asarray(cv2.cvtColor(image, code), np.uint8)

    def shot(self) -> Shot | None:
        """See `Connection.shot`."""
        image = self.read()
        return None if image is None else Shot(image, time.monotonic())

    def ended(self, frames: int) -> bool:
        """Whether this was a file behind a URL, which declares its length, and is over."""
        declared = self.declared
        return 0 < declared <= frames + max(2, declared // 100)

    def release(self) -> None:
        """Give the file or device back."""
        self._capture.release()
