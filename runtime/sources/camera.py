"""A V4L2 camera by number, node or stable name.

/dev/video0?size=1280x720&fps=30&format=MJPG&reconnect_for=60s
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2

from lipdeploy.core.errors import SourceError
from lipdeploy.runtime.devices import stable_names
from lipdeploy.runtime.devices.inventory import why_not
from lipdeploy.runtime.sources.backoff import ONCE
from lipdeploy.runtime.sources.connection import Connection
from lipdeploy.runtime.sources.decoder import Decoder
from lipdeploy.runtime.sources.live import LiveCapture
from lipdeploy.runtime.sources.options import LIVE, live_options, split_address

_ADVICE = "list cameras with `lipdeploy cameras`"
_OURS = (*LIVE, "size", "fps", "format")
_RATE_TOLERANCE = 0.05


@dataclass(frozen=True)
class Wanted:
    """What the address asks of the camera; 0 and empty leave it to the driver."""

    width: int = 0
    height: int = 0
    fps: float = 0.0
    pixel_format: str = ""


def open_camera(address: str) -> LiveCapture:
    """A camera at `0`, `/dev/video0` or `/dev/v4l/by-id/...`, with options behind a `?`.

    Raises:
        SourceError: it is not there, not allowed, in use, or cannot deliver what is wanted.
    """
    node, found = split_address(address, _OURS)
    if "?" in node:
        unknown = node.partition("?")[2].partition("=")[0]
        raise SourceError(f"camera {address} has unknown option {unknown!r}; known: {_known()}")
    path = Path(f"/dev/video{int(node)}") if node.isdigit() else Path(node)
    wanted = wanted_from_options(found, address)
    options = live_options(found, address, ONCE)
    connect = functools.partial(_connection, path, wanted)
    return LiveCapture(_name(path), connect, _ADVICE, options)


def wanted_from_options(found: Mapping[str, str], address: str) -> Wanted:
    """Read `size`, `fps` and `format`.

    Raises:
        SourceError: a value that is none.
    """
    size = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", found.get("size", "1x1"))
    rate = re.fullmatch(r"\d{1,4}(\.\d+)?", found.get("fps", "1"))
    four = re.fullmatch(r"[A-Za-z0-9 ]{4}", found.get("format", "    "))
    for name, good in (("size", size), ("fps", rate), ("format", four)):
        if good is None:
            raise SourceError(
                f"camera {address}: {name}={found[name]} is not understood; "
                "for example size=1280x720&fps=30&format=MJPG"
            )
    width, height = found.get("size", "0x0").split("x")
    return Wanted(int(width), int(height), float(found.get("fps", 0)), found.get("format", ""))


def negotiate(decoder: Decoder, wanted: Wanted) -> None:
    """Set what is wanted, and check what the camera made of it: it answers with the nearest it has.

    Raises:
        SourceError: it is not what was asked.
    """
    if wanted.pixel_format:  # first: it decides which sizes there are
        decoder.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*wanted.pixel_format))
    if wanted.width:
        decoder.set(cv2.CAP_PROP_FRAME_WIDTH, wanted.width)
        decoder.set(cv2.CAP_PROP_FRAME_HEIGHT, wanted.height)
    if wanted.fps:
        decoder.set(cv2.CAP_PROP_FPS, wanted.fps)
    for got, asked, same in _compared(decoder, wanted):
        if not same:
            raise SourceError(f"it delivers {got} where {asked} was asked; {_ADVICE}")


def _compared(decoder: Decoder, wanted: Wanted) -> list[tuple[str, str, bool]]:
    rows = []
    if wanted.pixel_format:
        got = decoder.pixel_format
        rows.append((got, wanted.pixel_format, got.upper() == wanted.pixel_format.upper()))
    if wanted.width:
        asked = (wanted.width, wanted.height)
        rows.append(("{}x{}".format(*decoder.size), "{}x{}".format(*asked), decoder.size == asked))
    if wanted.fps:
        near = abs(decoder.fps - wanted.fps) <= _RATE_TOLERANCE * wanted.fps
        rows.append((f"{decoder.fps:g} fps", f"{wanted.fps:g} fps", near))
    return rows


def _connection(path: Path, wanted: Wanted) -> Connection:
    if wrong := why_not(path):
        raise SourceError(wrong)
    decoder = CameraDecoder(str(path.resolve()), cv2.CAP_V4L2)
    if not decoder.opened:
        return decoder
    try:
        negotiate(decoder, wanted)
    except BaseException:
        decoder.release()
        raise
    return decoder


class CameraDecoder(Decoder):
    """A camera has no end, whatever it declares."""

    @property
    def what(self) -> str:
        """Size and pixel format."""
        return " ".join(filter(None, (super().what, self.pixel_format)))

    def ended(self, frames: int) -> bool:
        """See `Connection.ended`."""
        return False


def _name(path: Path) -> str:
    """The node, and the name by which it is found again after a restart."""
    if path.is_symlink():
        return f"camera {path} -> {path.resolve()}"
    stable = stable_names(path)
    return f"camera {path} ({stable[0]})" if stable else f"camera {path}"


def _known() -> str:
    return ", ".join(name for name in _OURS if name != "stall")
