"""What one camera node says of itself."""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from lipdeploy.runtime.devices import ioctl
from lipdeploy.runtime.devices.ioctl import Control

Kind = Literal["camera", "metadata", "other", "unknown"]
_MOST = 256  # entries of one list; a driver that never ends its list is broken


@dataclass(frozen=True)
class Mode:
    """A pixel format at one size.

    Attributes:
        pixel_format: four characters, as `?format=` takes them.
        width: in pixels; the largest of a range.
        height: likewise.
        rates: frames a second, fastest first; empty where the driver lists none.
        ranged: any size up to this one can be had.
    """

    pixel_format: str
    width: int
    height: int
    rates: tuple[float, ...] = ()
    ranged: bool = False


@dataclass(frozen=True)
class Camera:
    """A `/dev/video*` node.

    Attributes:
        path: the node.
        stable: names that stay over a restart, `/dev/v4l/by-id` first.
        name: what the maker calls it.
        driver: kernel module.
        bus: where it is plugged in.
        kind: `camera` delivers pictures; `metadata` is a camera's second node, which does not.
        modes: what it can deliver.
        problem: why it cannot be used now; empty when it can.
        fix: what to do about it.
    """

    path: str
    stable: tuple[str, ...] = ()
    name: str = ""
    driver: str = ""
    bus: str = ""
    kind: Kind = "unknown"
    modes: tuple[Mode, ...] = ()
    problem: str = ""
    fix: str = ""


@dataclass(frozen=True)
class Capability:
    """Answer of VIDIOC_QUERYCAP."""

    driver: str
    name: str
    bus: str
    kind: Kind
    buffer_type: int


def capability_of(control: Control) -> Capability:
    """Ask who it is.

    Raises:
        OSError: it is no V4L2 device.
    """
    data = bytearray(ioctl.CAPABILITY.size)
    control(ioctl.QUERYCAP, data)
    driver, name, bus, _, everything, node = ioctl.CAPABILITY.unpack(data)
    flags = node if everything & ioctl.HAS_NODE_CAPABILITIES else everything
    planar = not flags & ioctl.CAN_CAPTURE and flags & ioctl.CAN_CAPTURE_PLANAR
    kind: Kind = "other"
    if flags & (ioctl.CAN_CAPTURE | ioctl.CAN_CAPTURE_PLANAR):
        kind = "camera"
    elif flags & ioctl.IS_METADATA:
        kind = "metadata"
    buffer_type = ioctl.VIDEO_CAPTURE_PLANAR if planar else ioctl.VIDEO_CAPTURE
    return Capability(_text(driver), _text(name), _text(bus), kind, buffer_type)


def modes_of(control: Control, buffer_type: int) -> Iterator[Mode]:
    """Every format and size with its rates, in the driver's order."""
    head = struct.pack("=I", buffer_type)
    for found in _listed(control, ioctl.ENUM_FMT, ioctl.FORMAT, head):
        pixel_format = int(found[4])
        for size in _listed(
            control, ioctl.ENUM_FRAMESIZES, ioctl.FRAME_SIZE, struct.pack("=I", pixel_format)
        ):
            discrete = size[2] == ioctl.DISCRETE
            width, height = (size[3], size[4]) if discrete else (size[4], size[7])
            rates = tuple(_rates(control, pixel_format, int(width), int(height)))
            yield Mode(fourcc(pixel_format), int(width), int(height), rates, not discrete)


def is_busy(control: Control, buffer_type: int) -> bool:
    """Whether another program streams from it: only the owner may free buffers."""
    data = bytearray(ioctl.BUFFERS.pack(0, buffer_type, ioctl.MEMORY_MMAP))
    try:
        control(ioctl.REQBUFS, data)
    except OSError as error:
        return error.errno == errno.EBUSY
    return False


def fourcc(code: int) -> str:
    """The four characters of a pixel format."""
    return struct.pack("<I", code & 0x7FFF_FFFF).decode("ascii", "replace").rstrip("\0 ")


def _rates(control: Control, pixel_format: int, width: int, height: int) -> Iterator[float]:
    head = struct.pack("=III", pixel_format, width, height)
    for found in _listed(control, ioctl.ENUM_FRAMEINTERVALS, ioctl.INTERVAL, head):
        numerator, denominator = int(found[5]), int(found[6])  # of a range: its shortest interval
        if numerator and denominator:
            yield denominator / numerator


def _listed(
    control: Control, request: int, layout: struct.Struct, head: bytes
) -> Iterator[tuple[int, ...]]:
    """The entries of a list that the driver hands out by index until it refuses."""
    for index in range(_MOST):
        start = struct.pack("=I", index) + head
        data = bytearray(start.ljust(layout.size, b"\0"))
        try:
            control(request, data)
        except OSError:  # EINVAL: past the end; ENOTTY: the driver lists none
            return
        yield layout.unpack(data)


def _text(raw: bytes) -> str:
    text = raw.partition(b"\0")[0].decode("utf-8", "replace")
    return "".join(c if c.isprintable() else "?" for c in text).strip()
