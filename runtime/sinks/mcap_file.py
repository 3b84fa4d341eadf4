"""A log for Foxglove and ROS tools: what was seen, what was predicted, what is claimed of it.

The only file that imports the Foxglove SDK, from `lipdeploy[mcap]`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import foxglove
import numpy as np
import numpy.typing as npt
from foxglove.channels import (
    CompressedImageChannel,
    ImageAnnotationsChannel,
    LogChannel,
    RawImageChannel,
)
from foxglove.mcap import MCAPWriteOptions
from foxglove.messages import CompressedImage, Log, LogLevel, RawImage, Timestamp

from lipdeploy.core.errors import InputError
from lipdeploy.runtime.result import Result
from lipdeploy.runtime.sinks.annotations import image_annotations
from lipdeploy.runtime.sinks.clock import FrameClock
from lipdeploy.runtime.sinks.context import SinkContext
from lipdeploy.runtime.sinks.durable_file import DurableFile
from lipdeploy.runtime.sinks.seen import class_shares

logging.getLogger("foxglove").setLevel(logging.CRITICAL)  # the file tells of its failures

_CHUNK_S = 0.5
_JPEG_QUALITY = 90
_NULLABLE = {"type": ["number", "null"]}
_SHARE_SCHEMA = {
    "title": "lipdeploy.CertifiedShare",
    "type": "object",
    "properties": {
        "index": {"type": ["integer", "null"]},
        "source": {"type": ["string", "null"]},
        "state": {"type": "string", "enum": ["ok", "withheld"]},
        "reason": {"type": ["string", "null"]},
        "level": {"type": "string"},
        "eps": {"type": "number"},
        "eps_source": _NULLABLE,
        "certified_share": _NULLABLE,
        "pixelwise_share": _NULLABLE,
        "latency_ms": _NULLABLE,
        "class_shares": {"type": "object", "additionalProperties": {"type": "number"}},
    },
}


class McapSink:
    """Writes chunks of half a second, so that a killed process leaves all but the last.

    `/lipdeploy/image` is the frame as captured (JPEG), `mask` its class ids (mono8) and `radius`
    its l2 radii (32FC1), both at the network's resolution, `regions` their boxes on the frame,
    `certified_share` the figures, `/diagnostics` one line a frame. Stamps are capture times:
    since 1970 where live, since the file began where not. Where nothing is claimed of a frame
    there is no radius and no region of it, and its share is null.

    Raises:
        InputError: the file cannot be made.
    """

    wants_overlay = False

    def __init__(self, path: Path, context: SinkContext) -> None:
        self._path = path
        self._class_names = context.class_names
        self._clock = FrameClock(context.live, context.fps)
        self._flushed_s = self._written_s = time.monotonic()
        self._closed = False
        self._file = DurableFile(path)
        # The SDK's global context would mix up two files; this one closes its channels when freed.
        self._context = own = foxglove.Context()
        options = MCAPWriteOptions(
            chunk_size=None,  # they end by time alone
            disable_seeking=True,  # a chunk reaches the file when it is whole
            compression_threads=0,  # the model needs them
        )
        self._writer = foxglove.open_mcap(self._file, context=own, writer_options=options)
        self._image = CompressedImageChannel("/lipdeploy/image", context=own)
        self._mask = RawImageChannel("/lipdeploy/mask", context=own)
        self._radius = RawImageChannel("/lipdeploy/radius", context=own)
        self._regions = ImageAnnotationsChannel("/lipdeploy/regions", context=own)
        self._log = LogChannel("/diagnostics", context=own)
        self._share = foxglove.Channel(
            "/lipdeploy/certified_share", schema=_SHARE_SCHEMA, context=own
        )

    def write(self, result: Result) -> None:
        """Append the messages of one frame.

        Raises:
            LipdeployError: the disk refuses it, or the file is gone.
        """
        # A placeholder shows an old frame, and tells of now.
        stamp_ns = time.time_ns() if result.placeholder else self._clock.stamp_ns(result.frame)
        stamp = Timestamp(*divmod(stamp_ns, 10**9))
        if not result.placeholder:  # it shows a frame that is in the file already
            self._write_pictures(result, stamp, stamp_ns)
        self._share.log(self._figures(result), log_time=stamp_ns)
        self._log.log(_line(result, stamp), log_time=stamp_ns)
        self._flush()

    def _write_pictures(self, result: Result, stamp: Timestamp, stamp_ns: int) -> None:
        image = result.frame.image
        camera = result.frame.source_id or "camera"
        self._image.log(_jpeg(image, stamp, camera), log_time=stamp_ns)
        if result.state == "ok" and result.prediction is not None:
            self._mask.log(_raw(result.prediction.mask, "mono8", stamp, camera), log_time=stamp_ns)
        if result.claims and result.prediction is not None:
            self._radius.log(
                _raw(result.prediction.radius, "32FC1", stamp, camera), log_time=stamp_ns
            )
        size = (image.shape[0], image.shape[1])
        self._regions.log(
            image_annotations(result, size, self._class_names, stamp), log_time=stamp_ns
        )

    def _figures(self, result: Result) -> dict[str, Any]:
        figures = result.to_json(self._class_names)
        figures["class_shares"] = class_shares(result, self._class_names)
        return {key: figures[key] for key in _SHARE_SCHEMA["properties"]}

    def _flush(self) -> None:
        now_s = time.monotonic()
        since_last_s, self._written_s = now_s - self._written_s, now_s
        if now_s - self._flushed_s + since_last_s > _CHUNK_S:  # the next frame would be too late
            self._flushed_s = now_s
            self._told(self._writer.flush)
        self._file.check()

    def describe(self) -> str:
        """The file."""
        return str(self._path)

    def close(self) -> None:
        """Write the index; safe to call twice.

        Raises:
            LipdeployError: the disk refuses the rest, or the file is gone.
        """
        if self._closed:
            return
        self._closed = True
        with self._file.told_once():
            try:
                self._told(self._writer.close)
            finally:
                self._file.close()

    def _told(self, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception as error:  # the SDK's own, of which the file knows the cause
            raise self._file.failure(error) from error


def _jpeg(image: npt.NDArray[np.uint8], stamp: Timestamp, camera: str) -> CompressedImage:
    settings = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
    _, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), settings)
    return CompressedImage(timestamp=stamp, frame_id=camera, data=data.tobytes(), format="jpeg")


def _raw(values: npt.NDArray[Any], encoding: str, stamp: Timestamp, camera: str) -> RawImage:
    height, width = values.shape
    little = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
    return RawImage(
        timestamp=stamp,
        frame_id=camera,
        width=width,
        height=height,
        encoding=encoding,
        step=width * values.itemsize,
        data=little.tobytes(),
    )


def _line(result: Result, stamp: Timestamp) -> Log:
    withheld = result.state == "withheld"
    share = result.certified_share
    said = f"WITHHELD: {result.reason}" if withheld else result.reason or result.state
    if share is not None:
        said += f", certified-stable share {share:.4f} ({result.level}) at eps {result.eps:g}"
    named = result.frame.source_id
    frame = "no frame" if result.placeholder else f"frame {result.frame.index}"
    return Log(
        timestamp=stamp,
        level=LogLevel.Warning if withheld else LogLevel.Info,
        message=f"{named + ', ' if named else ''}{frame}: {said}",
        name="lipdeploy",
    )


def open_mcap_file(address: str, context: SinkContext) -> McapSink:
    """Open `mcap:drive.mcap`.

    Raises:
        InputError: no file is named, or it cannot be made.
    """
    name = address.removeprefix("mcap:")
    if not name:
        raise InputError("sink mcap: names no file; for example mcap:drive.mcap")
    return McapSink(Path(name).expanduser(), context)
