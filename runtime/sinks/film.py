"""A video file of overlays that plays up to the last second, however the run ends.

The only file that imports PyAV, from `lipdeploy[record]`.
"""

from __future__ import annotations

import contextlib
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt
from av.container import OutputContainer
from av.video.frame import PictureType
from av.video.stream import VideoStream

from lipdeploy.core.errors import LipdeployError
from lipdeploy.runtime.result import Result
from lipdeploy.runtime.sinks.clock import FrameClock
from lipdeploy.runtime.sinks.context import SinkContext
from lipdeploy.runtime.sinks.durable_file import DurableFile
from lipdeploy.runtime.sinks.video import letterboxed
from lipdeploy.runtime.spare_cores import spare_cores

TICKS = 60_000  # a second; both 1/24 and 1001/30000 s are whole, and MPEG-4 takes no more
_KEYFRAME_S = 1.0
_PIECE_BYTES = 1 << 20  # larger than a piece: it is written by one call
_FOREVER = 1_000_000  # frames; keyframes are asked for by time

# Each piece of a quarter of a second is complete in itself and written at once.
_MUXERS: dict[str, tuple[str, dict[str, str]]] = {
    ".mp4": (
        "mp4",
        {
            "movflags": "frag_keyframe+empty_moov+default_base_moof",
            "frag_duration": "250000",  # microseconds
            "flush_packets": "1",
        },
    ),
    ".mkv": ("matroska", {"cluster_time_limit": "250", "flush_packets": "1"}),  # milliseconds
}
SUFFIXES = frozenset(_MUXERS)

# No frame waits for a later one: what was encoded can be on the disk.
_CODECS: dict[str, tuple[str, dict[str, str]]] = {
    "libx264": ("H.264", {"preset": "superfast", "tune": "zerolatency", "crf": "23"}),
    "libopenh264": ("H.264", {}),
    "mpeg4": ("MPEG-4", {"bf": "0"}),
}


class FilmSink:
    """H.264, or MPEG-4 where PyAV lacks it, in fragmented `.mp4` or in `.mkv`.

    The first frame fixes the size, others are letterboxed. Frames are shown when they were
    captured: one that was dropped leaves its predecessor standing.

    Raises:
        InputError: the file cannot be made.
    """

    wants_overlay = True

    def __init__(self, path: Path, context: SinkContext) -> None:
        self._path = path
        self._fps = min(max(context.fps, 1.0), 240.0)
        self._clock = FrameClock(context.live, context.fps)
        self._codec = next(name for name in _CODECS if name in av.codecs_available)
        self._file = DurableFile(path)
        self._container: OutputContainer | None = None
        self._stream: VideoStream | None = None
        self._size = (0, 0)
        self._last_tick = -1
        self._next_key_tick = 0

    def write(self, result: Result) -> None:
        """Append the overlay.

        Raises:
            LipdeployError: the encoder cannot be opened, the disk is full or the file is gone.
        """
        if result.overlay is None:
            return
        try:
            stream = self._stream or self._opened(result.overlay)
            self._mux(stream, self._frame(result.overlay, self._clock.film_s(result.frame)))
        except (OSError, ValueError, av.FFmpegError) as error:
            raise self._file.failure(error) from error
        self._file.check()

    def _opened(self, overlay: npt.NDArray[np.uint8]) -> VideoStream:
        height, width = overlay.shape[:2]
        self._size = (width + width % 2, height + height % 2)  # encoders take even sizes only
        muxer, settings = _MUXERS[self._path.suffix.lower()]
        self._container = av.open(
            self._file, "w", format=muxer, options=settings, buffer_size=_PIECE_BYTES
        )
        rate = Fraction(self._fps).limit_denominator(1001)
        stream = self._container.add_stream(self._codec, rate, options=_CODECS[self._codec][1])
        if not isinstance(stream, VideoStream):
            raise LipdeployError(f"{self._codec} of this PyAV is no video codec; install av again")
        stream.width, stream.height = self._size
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        context.time_base = Fraction(1, TICKS)
        context.gop_size = _FOREVER
        context.thread_count = spare_cores()
        if self._codec != "libx264":  # which keeps the quality, not the rate
            context.bit_rate = int(0.2 * width * height * self._fps)
        self._stream = stream
        return stream

    def _frame(self, overlay: npt.NDArray[np.uint8], film_s: float) -> av.VideoFrame:
        tick = max(round(film_s * TICKS), self._last_tick + 1)
        planes = cv2.cvtColor(letterboxed(overlay, *self._size), cv2.COLOR_RGB2YUV_I420)
        frame = av.VideoFrame.from_ndarray(np.asarray(planes, np.uint8), format="yuv420p")
        frame.pts, frame.time_base = tick, Fraction(1, TICKS)
        if tick >= self._next_key_tick:
            frame.pict_type = PictureType.I
            self._next_key_tick = tick + round(_KEYFRAME_S * TICKS)
        self._last_tick = tick
        return frame

    def _mux(self, stream: VideoStream, frame: av.VideoFrame | None) -> None:
        if self._container is not None:
            self._container.mux(stream.encode(frame))

    def describe(self) -> str:
        """The file and its codec."""
        return f"{self._path} ({_CODECS[self._codec][0]})"

    def close(self) -> None:
        """Write the index; a file without frames is removed.

        Raises:
            LipdeployError: the disk refuses the rest, or the file is gone.
        """
        container, stream = self._container, self._stream
        self._container = self._stream = None
        if container is None or stream is None:
            self._discard_empty()
            return
        with self._file.told_once():
            self._finish(container, stream)

    def _finish(self, container: OutputContainer, stream: VideoStream) -> None:
        try:
            container.mux(stream.encode(None))
            container.close()
        except (OSError, ValueError, av.FFmpegError) as error:
            with contextlib.suppress(OSError, ValueError, av.FFmpegError):
                container.close()
            raise self._file.failure(error) from error
        finally:
            self._file.close()

    def _discard_empty(self) -> None:
        if self._last_tick < 0:
            self._file.discard()
