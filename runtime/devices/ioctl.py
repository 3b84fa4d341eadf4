"""The few Video4Linux2 requests that tell what a camera can do.

Source: Linux, include/uapi/linux/videodev2.h and asm-generic/ioctl.h (x86, Arm, RISC-V).
"""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

Control = Callable[[int, bytearray], None]
"""Request and structure, which the driver fills in; raises OSError where it refuses."""

_WRITE, _READ = 1, 2

CAPABILITY = struct.Struct("=16s32s32sIII12x")  # driver, card, bus, version, all, of this node
FORMAT = struct.Struct("=III32sI16x")  # index, buffer type, flags, description, pixel format
FRAME_SIZE = struct.Struct("=III6I8x")  # index, pixel format, kind; width and height or ranges
INTERVAL = struct.Struct("=IIIII6I8x")  # index, format, width, height, kind; fractions of a second
BUFFERS = struct.Struct("=III8x")  # count, buffer type, memory


def _request(direction: int, number: int, size: int) -> int:
    return direction << 30 | size << 16 | ord("V") << 8 | number


QUERYCAP = _request(_READ, 0, CAPABILITY.size)
ENUM_FMT = _request(_READ | _WRITE, 2, FORMAT.size)
REQBUFS = _request(_READ | _WRITE, 8, BUFFERS.size)
ENUM_FRAMESIZES = _request(_READ | _WRITE, 74, FRAME_SIZE.size)
ENUM_FRAMEINTERVALS = _request(_READ | _WRITE, 75, INTERVAL.size)

VIDEO_CAPTURE = 1  # buffer type, and capability bit
VIDEO_CAPTURE_PLANAR = 9
MEMORY_MMAP = 1
CAN_CAPTURE = 0x1
CAN_CAPTURE_PLANAR = 0x1000
IS_METADATA = 0x0080_0000 | 0x0800_0000  # capture and output
HAS_NODE_CAPABILITIES = 0x8000_0000
DISCRETE = 1


@contextmanager
def control_of(path: Path) -> Iterator[Control]:
    """Requests to a device node, opened without starting it.

    Raises:
        OSError: it cannot be opened.
    """
    node = os.open(path, os.O_RDWR | os.O_NONBLOCK)

    def control(request: int, data: bytearray) -> None:
        fcntl.ioctl(node, request, data, True)

    try:
        yield control
    finally:
        os.close(node)
