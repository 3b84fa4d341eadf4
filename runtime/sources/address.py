"""From what the user wrote to an opened source."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lipdeploy.core.errors import SourceError
from lipdeploy.runtime.sources.camera import open_camera
from lipdeploy.runtime.sources.frame import Source
from lipdeploy.runtime.sources.multi import MultiSource
from lipdeploy.runtime.sources.network import SCHEMES, open_network
from lipdeploy.runtime.sources.paths import open_path
from lipdeploy.runtime.sources.redact import redacted

_CAMERA_NUMBER = re.compile(r"[0-9]{1,3}(\?.*)?")
_NAMED = re.compile(r"([A-Za-z][\w-]{0,31})=(.+)", re.DOTALL)


def open_source(address: str) -> Source:
    """Open a camera, a video, images, a URL or a generated scene.

    Args:
        address: `0`, `/dev/video0?size=1280x720`, `/dev/v4l/by-id/...`, `csi://0`, `gst://...`,
            `rtsp://...`, `http://...`, a video, an image, a folder of images, `'glob/*.jpg'`,
            `list:files.txt` or `test://scene?...`.

    Raises:
        SourceError: it cannot be opened; the message says why, passwords redacted.
    """
    scheme, mark, _ = address.partition("://")
    if mark and f"{scheme.lower()}://" in SCHEMES:
        return open_network(address)
    if mark and scheme in _OPENERS:
        return _OPENERS[scheme](address)
    if mark and re.fullmatch(r"[A-Za-z][\w+.-]*", scheme):
        raise SourceError(
            f"source scheme {scheme}:// is not supported; use a path, a camera, rtsp://, rtmp://, "
            "http://, udp://, srt://, gst://, csi:// or test://scene"
        )
    in_dev = address.startswith("/dev/") and not address.startswith("/dev/shm/")
    if in_dev or _CAMERA_NUMBER.fullmatch(address):
        return open_camera(address)
    return open_path(address)


def open_sources(addresses: Sequence[str]) -> Source:
    """One source as `open_source` opens it, or several at once, each with a `source_id`.

    Args:
        addresses: each may begin with a name, as in `front=rtsp://...`; else the source is called
            by its position, `0` for the first.

    Raises:
        SourceError: one of them cannot be opened; the others are closed again.
    """
    named = [named_address(text, position) for position, text in enumerate(addresses)]
    names = [name for name, _ in named]
    if len(set(names)) < len(names):
        raise SourceError(f"two sources are called alike ({', '.join(names)}); name each once")
    if len(named) == 1:
        return open_source(named[0][1])
    with ThreadPoolExecutor(max(1, len(named))) as pool:
        opening = {name: pool.submit(open_source, address) for name, address in named}
    failed = [future.exception() for future in opening.values() if future.exception()]
    opened = {name: done.result() for name, done in opening.items() if not done.exception()}
    try:
        if failed and failed[0]:
            raise failed[0]
        return MultiSource(opened)
    except BaseException:
        for source in opened.values():
            source.close()
        raise


def named_address(text: str, position: int) -> tuple[str, str]:
    """`front=0` is camera 0 called `front`; an existing file with such a name is a file."""
    found = _NAMED.fullmatch(text)
    if found is None or Path(text).exists():
        return str(position), text
    return found[1], found[2]


def _generated(address: str) -> Source:
    module = importlib.import_module("lipdeploy.runtime.sources.scene")
    source: Source = module.open_scene(address)
    return source


def _pipeline(address: str) -> Source:
    module = importlib.import_module("lipdeploy.runtime.sources.gstreamer")
    source: Source = (module.open_csi if address.startswith("csi") else module.open_pipeline)(
        address
    )
    return source


_OPENERS: dict[str, Callable[[str], Source]] = {
    "test": _generated,
    "gst": _pipeline,
    "csi": _pipeline,
}

__all__ = ["named_address", "open_source", "open_sources", "redacted"]
