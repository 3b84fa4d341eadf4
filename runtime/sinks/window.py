"""The process behind `display://`: shows the frames of its standard input in a window.

Each frame is rows and columns as two uint32, then RGB bytes. OpenCV's window is taken where this
OpenCV has one (the headless one has not), else Tk's, which comes with Python.
"""

from __future__ import annotations

import os
import select
import struct
import sys
from collections.abc import Callable
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt

HEADER = "<II"
READY = b"ready\n"
_TITLE = "lipdeploy"
_EVENTS_S = 0.03

Image = npt.NDArray[np.uint8]


class Window(Protocol):
    """A window that is open from its construction."""

    def show(self, image: Image) -> None:
        """Show an RGB picture, shape (H, W, 3)."""

    def alive(self) -> bool:
        """Answer to the person who uses it; whether it is still open."""


class HighguiWindow:
    """OpenCV's."""

    def __init__(self) -> None:
        cv2.namedWindow(_TITLE, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO)

    def show(self, image: Image) -> None:
        """Show an RGB picture."""
        cv2.imshow(_TITLE, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))

    def alive(self) -> bool:
        """Whether it is still open."""
        cv2.waitKey(1)
        return cv2.getWindowProperty(_TITLE, cv2.WND_PROP_VISIBLE) >= 1


class TkWindow:
    """Tk's."""

    def __init__(self) -> None:
        import tkinter as tk

        self._open = True
        self._root = tk.Tk()
        self._root.title(_TITLE)
        self._root.protocol("WM_DELETE_WINDOW", self._closed)
        self._label = tk.Label(self._root, borderwidth=0)
        self._label.pack()
        self._photo = tk.PhotoImage()

    def _closed(self) -> None:
        self._open = False

    def show(self, image: Image) -> None:
        """Show an RGB picture."""
        height, width = image.shape[:2]
        self._photo.configure(data=b"P6 %d %d 255\n" % (width, height) + image.tobytes())
        self._label.configure(image=self._photo)

    def alive(self) -> bool:
        """Whether it is still open."""
        self._root.update()
        return self._open


def opened_window() -> Window:
    """The first kind of window that opens here.

    Raises:
        OSError: none does; the message says why.
    """
    reasons = []
    kinds: tuple[Callable[[], Window], ...] = (HighguiWindow, TkWindow)
    for kind in kinds:
        try:
            return kind()
        except Exception as error:  # noqa: PERF203
            reasons.append(str(error).strip().split("\n")[0])
    raise OSError("; ".join(reasons))


def read_exactly(size: int) -> bytes:
    """Bytes of the standard input; fewer where it ends."""
    parts = []
    while size and (part := os.read(0, min(size, 1 << 20))):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def read_image() -> Image | None:
    """The next frame, or None at the end."""
    header = read_exactly(struct.calcsize(HEADER))
    if len(header) < struct.calcsize(HEADER):
        return None
    height, width = struct.unpack(HEADER, header)
    data = read_exactly(height * width * 3)
    if len(data) < height * width * 3:
        return None
    return np.frombuffer(data, np.uint8).reshape(height, width, 3)


def _say_nothing_more() -> None:
    """Nobody reads standard error from here on: warnings of days would fill the pipe."""
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 2)
    os.close(silence)


def main() -> int:
    """Show frames until the input ends or the window is closed."""
    try:
        window = opened_window()
    except OSError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.buffer.write(READY)
    sys.stdout.flush()
    _say_nothing_more()
    while window.alive():
        if select.select([0], [], [], _EVENTS_S)[0]:
            image = read_image()
            if image is None:
                break
            window.show(image)
    return 0


if __name__ == "__main__":
    sys.exit(main())
