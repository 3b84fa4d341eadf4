"""From what the user wrote to an opened sink."""

from __future__ import annotations

import contextlib
import importlib
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lipdeploy.core.errors import InputError
from lipdeploy.runtime.sinks.context import SinkContext
from lipdeploy.runtime.sinks.jsonl import jsonl_sink
from lipdeploy.runtime.sinks.null import NullSink
from lipdeploy.runtime.sinks.pictures import PictureSink
from lipdeploy.runtime.sinks.sink import Sink
from lipdeploy.runtime.sinks.video import SUFFIXES, video_sink
from lipdeploy.runtime.sources.redact import redacted

_EXPECTED = (
    "out.mp4, out.mkv, out.avi, folder/, frame_%06d.png, jsonl:frames.jsonl, mcap:drive.mcap, "
    "http://127.0.0.1:8080, prometheus://127.0.0.1:9108, display:// or null"
)
_PLAIN_VIDEO = (
    "MPEG-4, which browsers do not play and a kill may lose; pip install 'lipdeploy[record]' "
    "gives H.264"
)
_LOG = logging.getLogger(__name__)

# prefix: module, function (address, context) -> Sink, extra that brings what the module imports
_OPENERS = {
    "mcap:": ("lipdeploy.runtime.sinks.mcap_file", "open_mcap_file", "mcap"),
    "prometheus://": ("lipdeploy.runtime.sinks.prometheus", "open_prometheus", "metrics"),
    "http://": ("lipdeploy.runtime.web.page_sink", "open_page", "page"),
    "display://": ("lipdeploy.runtime.sinks.display", "open_display", ""),
}


def open_sink(address: str, context: SinkContext) -> Sink:
    """Open one sink; `{time}` in its name becomes the time of opening, in UTC.

    Args:
        address: what the user wrote: `out.mp4`, `out.mkv`, `out.avi`, `folder/`,
            `frame_%06d.png`, `jsonl:file`, `mcap:file`, `http://host:port`,
            `prometheus://host:port`, `display://` or `null`.
        context: what sinks may need to know of the stream.

    Raises:
        InputError: an unknown kind, a path that cannot be written, or a package that is missing.
    """
    if address == "null":
        return NullSink()
    address = stamped(address)
    for prefix, (module, function, extra) in _OPENERS.items():
        if address.startswith(prefix):
            sink: Sink = getattr(_module(module, extra, address), function)(address, context)
            return sink
    if address.startswith("jsonl:"):
        return jsonl_sink(address.removeprefix("jsonl:"), context.class_names)
    if "://" in address or not address:
        shown = redacted(address)
        raise InputError(f"sink {shown!r} is not supported; expected {_EXPECTED}")
    return _open_path(address, context)


def open_sinks(addresses: Sequence[str], context: SinkContext) -> list[Sink]:
    """Open several; where one fails, those already open are closed.

    Raises:
        InputError: see `open_sink`; or the same target twice.
    """
    targets = [_target(address) for address in addresses]
    if len(set(targets)) != len(targets):
        raise InputError("the same sink is named twice; name each once")
    with contextlib.ExitStack() as stack:
        opened = []
        for address in addresses:
            sink = open_sink(address, context)
            stack.callback(sink.close)
            opened.append(sink)
        stack.pop_all()  # all of them are open: they stay so
    return opened


def _target(address: str) -> str:
    """What is written to: two names of one file would spoil each other."""
    if "://" in address or address == "null":
        return address
    name = address.removeprefix("jsonl:").removeprefix("mcap:").partition("?rotate=")[0]
    return str(Path(name).expanduser().resolve())


def stamped(address: str) -> str:
    """The address with `{time}` replaced, so that a restart leaves what was recorded before."""
    return address.replace("{time}", time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()))


def _open_path(address: str, context: SinkContext) -> Sink:
    path = Path(address).expanduser()
    if "%" in path.name:
        return PictureSink(path)
    if path.suffix.lower() in SUFFIXES and not address.endswith("/"):
        return _open_video(path, context)
    if address.endswith("/") or path.is_dir():
        return PictureSink(path / "frame_%06d.png")
    raise InputError(f"sink {address!r} is not understood; expected {_EXPECTED}")


def _open_video(path: Path, context: SinkContext) -> Sink:
    if path.suffix.lower() == ".avi":  # holds neither pieces nor times of frames
        return video_sink(path, context.fps)
    try:
        film = importlib.import_module("lipdeploy.runtime.sinks.film")
    except ImportError as error:
        missing = isinstance(error, ModuleNotFoundError)
        broken = "" if missing else f" (PyAV: {error})"
        _LOG.warning("%s is %s%s", path.name, _PLAIN_VIDEO, broken)
        return video_sink(path, context.fps)
    sink: Sink = film.FilmSink(path, context)
    return sink


def _module(name: str, extra: str, address: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        fix = f"pip install 'lipdeploy[{extra}]'" if extra else "install lipdeploy again"
        shown = redacted(address)
        raise InputError(f"sink {shown} needs more than is installed ({error}); {fix}") from error
