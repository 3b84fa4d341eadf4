"""GStreamer pipelines, and the Jetson's CSI cameras, which only GStreamer can open.

gst://v4l2src device=/dev/video0 ! videoconvert
csi://0?size=1920x1080&fps=30
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2

from lipdeploy.core.errors import SourceError
from lipdeploy.runtime.sources.backoff import ONCE
from lipdeploy.runtime.sources.camera import CameraDecoder, wanted_from_options
from lipdeploy.runtime.sources.connection import Connection
from lipdeploy.runtime.sources.live import LiveCapture
from lipdeploy.runtime.sources.options import LIVE, LiveOptions, live_options, split_address
from lipdeploy.runtime.sources.redact import redacted

_SINK = "appsink drop=true max-buffers=1 sync=false"
_MISSING = (
    "this OpenCV has no GStreamer (the wheels of PyPI have none); use the OpenCV of JetPack or "
    "of the Linux distribution, or an rtsp://, http:// or /dev/video address"
)
_JETSON = (Path("/etc/nv_tegra_release"), Path("/proc/device-tree/model"))


def open_pipeline(address: str) -> LiveCapture:
    """What a `gst://` address describes; it may leave out the `appsink` at the end.

    Raises:
        SourceError: OpenCV has no GStreamer, or the pipeline does not run.
    """
    shown, pipeline = redacted(address), pipeline_from_address(address)
    if not pipeline:
        raise SourceError("gst:// names no pipeline; for example gst://videotestsrc ! videoconvert")
    _check_gstreamer(shown)
    advice = "try it with gst-launch-1.0, with fakesink for appsink"
    return LiveCapture(f"pipeline {shown}", _connect(pipeline), advice, LiveOptions(ONCE))


def open_csi(address: str) -> LiveCapture:
    """A camera on the ribbon connector of a Jetson.

    Raises:
        SourceError: this is no Jetson, OpenCV has no GStreamer, or the camera does not answer.
    """
    pipeline, options = csi_pipeline(address)
    if not _is_jetson():
        raise SourceError(
            f"{address} needs the camera stack of an NVIDIA Jetson (nvarguscamerasrc), and this "
            "machine is none; use /dev/video0, or gst:// with the source element of this machine"
        )
    _check_gstreamer(address)
    advice = "check the ribbon cable, and restart the daemon: sudo systemctl restart nvargus-daemon"
    return LiveCapture(f"camera {address}", _connect(pipeline), advice, options)


def pipeline_from_address(address: str) -> str:
    """The text of the pipeline with a sink that keeps the newest frame only."""
    text = address.partition("://")[2].strip().rstrip("!").strip()
    if not text or "appsink" in text:
        return text
    return f"{text} ! videoconvert ! video/x-raw,format=BGR ! {_SINK}"


def csi_pipeline(address: str) -> tuple[str, LiveOptions]:
    """The pipeline that NVIDIA documents for `csi://N`, and how to keep it alive.

    Raises:
        SourceError: no number of a camera, or an option that is none.
    """
    base, found = split_address(address, (*LIVE, "size", "fps"))
    number = base.partition("://")[2]
    if not (number.isascii() and number.isdigit() and len(number) < 3):
        raise SourceError(f"{address} is not understood; expected csi://0?size=1280x720&fps=30")
    wanted = wanted_from_options({"size": "1280x720", "fps": "30", **found}, address)
    size = f"width={wanted.width},height={wanted.height}"
    pipeline = (
        f"nvarguscamerasrc sensor-id={number} ! "
        f"video/x-raw(memory:NVMM),{size},framerate={round(wanted.fps)}/1 ! "
        f"nvvidconv ! video/x-raw,format=BGRx ! videoconvert ! video/x-raw,format=BGR ! {_SINK}"
    )
    return pipeline, live_options(found, address, ONCE)


def has_gstreamer() -> bool:
    """Whether OpenCV can run pipelines."""
    return bool(cv2.videoio_registry.hasBackend(cv2.CAP_GSTREAMER))


def _check_gstreamer(shown: str) -> None:
    if not has_gstreamer():
        raise SourceError(f"{shown} cannot be opened: {_MISSING}")


def _is_jetson() -> bool:
    release, model = _JETSON
    return release.exists() or (model.exists() and b"NVIDIA" in model.read_bytes())


def _connect(pipeline: str) -> Callable[[], Connection]:
    return lambda: CameraDecoder(pipeline, cv2.CAP_GSTREAMER)
