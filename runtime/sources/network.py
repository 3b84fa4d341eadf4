"""A network stream through FFmpeg.

rtsp://user:password@host/stream?rtsp_transport=tcp&reconnect_for=60s&read_timeout=3s
"""

from __future__ import annotations

import dataclasses
import functools
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import cv2

from lipdeploy.core.errors import SourceError
from lipdeploy.runtime.sources.backoff import NETWORK
from lipdeploy.runtime.sources.capture_clock import CaptureClock
from lipdeploy.runtime.sources.connection import Connection, Shot
from lipdeploy.runtime.sources.decoder import Decoder
from lipdeploy.runtime.sources.live import LiveCapture
from lipdeploy.runtime.sources.options import LIVE, LiveOptions, live_options, split_address
from lipdeploy.runtime.sources.redact import redacted

SCHEMES = ("rtsp://", "rtsps://", "rtmp://", "rtmps://", "http://", "https://", "udp://", "srt://")
_TRANSPORTS = ("tcp", "udp", "udp_multicast", "http", "https")
_ADVICE = "check the address, the password and that the stream runs"
_UNSTAMPED = ("http://", "https://")  # MJPEG has no time stamps, and HLS comes in bursts
_VARIABLE = "OPENCV_FFMPEG_CAPTURE_OPTIONS"


def open_network(address: str) -> LiveCapture:
    """A stream that reconnects; options in the query that are ours are not sent to the server.

    Raises:
        SourceError: it cannot be reached within the bound, or an option is wrong.
    """
    url, found = split_address(address, (*LIVE, "rtsp_transport", "timestamps"))
    timestamps = found.get("timestamps", "stream")
    if timestamps not in ("stream", "arrival"):
        raise SourceError(
            f"{redacted(address)} has timestamps={timestamps}; expected stream or arrival"
        )
    stamped = timestamps == "stream" and not url.lower().startswith(_UNSTAMPED)
    transport = found.get("rtsp_transport", "")
    if transport and transport not in _TRANSPORTS:
        raise SourceError(
            f"{redacted(address)} has rtsp_transport={transport}; "
            f"expected one of {', '.join(_TRANSPORTS)}"
        )
    options = live_options(found, address, NETWORK)
    connect = functools.partial(_connection, url, transport, options, stamped)
    return LiveCapture(f"stream {redacted(url)}", connect, _ADVICE, options)


def _connection(url: str, transport: str, options: LiveOptions, stamped: bool) -> Connection:
    kind = StampedDecoder if stamped else Decoder
    parameters = (
        *(cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, round(options.open_s * 1e3)),
        *(cv2.CAP_PROP_READ_TIMEOUT_MSEC, round(options.read_s * 1e3)),
    )
    with _CAPTURE_OPTIONS.holding(f"rtsp_transport;{transport}" if transport else "", options):
        return kind(url, cv2.CAP_FFMPEG, parameters)


class StampedDecoder(Decoder):
    """A stream whose frames carry the time of their capture: buffered ones are known to be old."""

    def __init__(self, target: str | int, backend: int, parameters: Sequence[int] = ()) -> None:
        self._clock = CaptureClock(time.monotonic())
        super().__init__(target, backend, parameters)

    def shot(self) -> Shot | None:
        """See `Connection.shot`."""
        shot = super().shot()
        if shot is None:
            return None
        captured_s = self._clock.captured_s(shot.captured_s, self.time_ms * 1e-3)
        return dataclasses.replace(shot, captured_s=captured_s)


class CaptureOptions:
    """OpenCV takes FFmpeg's options from one environment variable of the process, at each open.

    So those who open at the same time must want the same; others wait for them.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._holders = 0
        self._ours = ""
        self._before: str | None = None

    @contextmanager
    def holding(self, text: str, options: LiveOptions) -> Iterator[None]:
        """Have `text` in force, added to what the user has set.

        Raises:
            SourceError: others hold another value for too long.
        """
        with self._changed:
            free = self._changed.wait_for(
                lambda: not self._holders or self._ours == text, options.open_s
            )
            if not free:
                raise SourceError("another stream is still being opened; try again")
            if not self._holders:
                self._set(text)
            self._holders += 1
        try:
            yield
        finally:
            with self._changed:
                self._holders -= 1
                if not self._holders:
                    self._restore()
                self._changed.notify_all()

    def _set(self, text: str) -> None:
        self._ours, self._before = text, os.environ.get(_VARIABLE)
        if text:
            os.environ[_VARIABLE] = "|".join(filter(None, (self._before, text)))

    def _restore(self) -> None:
        if self._ours and self._before is None:
            os.environ.pop(_VARIABLE, None)
        elif self._ours and self._before is not None:
            os.environ[_VARIABLE] = self._before


_CAPTURE_OPTIONS = CaptureOptions()
