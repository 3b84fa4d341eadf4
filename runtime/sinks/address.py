"""From what the user wrote to an opened sink."""

from __future__ import annotations

import contextlib
from pathlib import Path

from lipdeploy.core.errors import InputError
from lipdeploy.runtime.sinks.jsonl import JsonlSink
from lipdeploy.runtime.sinks.null import NullSink
from lipdeploy.runtime.sinks.pictures import PictureSink
from lipdeploy.runtime.sinks.sink import Sink
from lipdeploy.runtime.sinks.video import SUFFIXES, video_sink

_EXPECTED = "out.mp4, out.mkv, out.avi, folder/, frame_%06d.png, jsonl:frames.jsonl or null"


def open_sink(address: str, fps: float, class_names: tuple[str, ...]) -> Sink:
    """Open `out.mp4`, `folder/`, `frame_%06d.png`, `jsonl:file` or `null`.

    Args:
        address: what the user wrote.
        fps: rate of a recording, above 0.
        class_names: of the model, by class id.

    Raises:
        InputError: an unknown kind, or a path that cannot be written.
    """
    if address == "null":
        return NullSink()
    if address.startswith("jsonl:") and len(address) > len("jsonl:"):
        return JsonlSink(Path(address.removeprefix("jsonl:")).expanduser(), class_names)
    path = Path(address).expanduser()
    if "://" in address or not address:
        raise InputError(f"sink {address!r} is not supported; expected {_EXPECTED}")
    if "%" in path.name:
        return PictureSink(path)
    if path.suffix.lower() in SUFFIXES and not address.endswith("/"):
        return video_sink(path, fps)
    if address.endswith("/") or path.is_dir():
        return PictureSink(path / "frame_%06d.png")
    raise InputError(f"sink {address!r} is not understood; expected {_EXPECTED}")


def open_sinks(addresses: tuple[str, ...], fps: float, class_names: tuple[str, ...]) -> list[Sink]:
    """Open several; where one fails, those already open are closed.

    Raises:
        InputError: see `open_sink`; or the same target twice.
    """
    if len(set(addresses)) != len(addresses):
        raise InputError("the same sink is named twice; name each once")
    with contextlib.ExitStack() as stack:
        opened = []
        for address in addresses:
            sink = open_sink(address, fps, class_names)
            stack.callback(sink.close)
            opened.append(sink)
        stack.pop_all()  # all of them are open: they stay so
    return opened
