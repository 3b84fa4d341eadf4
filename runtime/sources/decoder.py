"""OpenCV's video decoder without its noise on stderr."""

from __future__ import annotations

import os
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt


def quiet_opencv() -> None:
    """Keep OpenCV and FFmpeg off stderr: their warnings quote URLs, passwords included."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


class Decoder:
    """A `cv2.VideoCapture` that delivers RGB."""

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

    def read(self) -> npt.NDArray[np.uint8] | None:
        """The next frame in RGB, shape (H, W, 3), or None where there is none."""
        ok, image = self._capture.read()
        if not ok or image is None or image.size == 0:
            return None
        code = cv2.COLOR_GRAY2RGB if image.ndim == 2 else cv2.COLOR_BGR2RGB
        return np.asarray(cv2.cvtColor(image, code), np.uint8)

    def release(self) -> None:
        """Give the file or device back."""
        self._capture.release()
