"""A window of overlays, in a process of its own: what kills a window does not end the stream."""

from __future__ import annotations

import contextlib
import logging
import os
import selectors
import struct
import subprocess
import sys
from typing import IO

import numpy as np
import numpy.typing as npt

from lipdeploy.core.errors import InputError
from lipdeploy.runtime.result import Result
from lipdeploy.runtime.sinks.context import SinkContext
from lipdeploy.runtime.sinks.window import HEADER, READY

_LOG = logging.getLogger(__name__)
_COMMAND = (sys.executable, "-m", "lipdeploy.runtime.sinks.window")
_OPEN_S = 15.0
_END_S = 2.0


class DisplaySink:
    """Shows overlays where a window can be opened; else one log line, and the stream goes on.

    The window is opened by another process, because Qt aborts its process where the display
    refuses it.

    Args:
        command: what shows the frames of its standard input, and says that it is ready.
    """

    live = True

    def __init__(self, command: tuple[str, ...] = _COMMAND) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            _go_on("neither DISPLAY nor WAYLAND_DISPLAY is set")
            return
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,  # a Ctrl-C is for the stream
        )
        self._process = process
        if _first_line(process) != READY:
            _go_on(_end(process))
            self._process = None

    @property
    def wants_overlay(self) -> bool:
        """Whether there is a window to show it in."""
        return self._process is not None

    def write(self, result: Result) -> None:
        """Show the overlay; a window that was closed stays closed."""
        if self._process is None or self._process.stdin is None or result.overlay is None:
            return
        try:
            _send(self._process.stdin, result.overlay)
        except OSError:
            _go_on("it was closed")
            self.close()

    def describe(self) -> str:
        """Nothing is kept."""
        return ""

    def close(self) -> None:
        """Close the window; safe to call twice."""
        process, self._process = self._process, None
        if process is not None:
            _end(process)


def _send(pipe: IO[bytes], image: npt.NDArray[np.uint8]) -> None:
    height, width = image.shape[:2]
    for data in (struct.pack(HEADER, height, width), np.ascontiguousarray(image).data.cast("B")):
        rest = memoryview(data)
        while rest:
            rest = rest[pipe.write(rest) :]


def _first_line(process: subprocess.Popen[bytes]) -> bytes:
    """What the window says first; empty where it says nothing in time or has ended."""
    if process.stdout is None:
        return b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        return process.stdout.readline() if selector.select(_OPEN_S) else b""


def _end(process: subprocess.Popen[bytes]) -> str:
    """End the process and return its last words."""
    process.terminate()
    try:
        _, errors = process.communicate(timeout=_END_S)
    except (subprocess.TimeoutExpired, ValueError, OSError):
        process.kill()
        errors = b""
        process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        with contextlib.suppress(OSError):
            if pipe is not None:
                pipe.close()
    lines = errors.decode(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "it does not answer")


def _go_on(why: str) -> None:
    _LOG.warning("no window (%s); the stream goes on without it, http:// shows it anywhere", why)


def open_display(address: str, context: SinkContext) -> DisplaySink:
    """Open `display://` or `display://0`.

    Raises:
        InputError: another address.
    """
    if address.removeprefix("display://") not in ("", "0"):
        raise InputError(f"sink {address} is not understood; expected display:// or display://0")
    return DisplaySink()
