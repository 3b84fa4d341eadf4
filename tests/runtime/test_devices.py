"""Cameras from recorded answers: no camera is needed, and none was here when this was written.

The answers follow what `v4l2-ctl --all --list-formats-ext` prints for a common UVC camera. They are
laid out by linuxpy's ctypes structures, generated from the kernel's header: independent of ours.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import linuxpy.video.raw as raw  # type: ignore[import-untyped]
import pytest

from lipdeploy.cli import cameras as cli
from lipdeploy.core.errors import SourceError
from lipdeploy.runtime.devices import ioctl
from lipdeploy.runtime.devices.camera import fourcc
from lipdeploy.runtime.devices.inventory import cameras_here, why_not
from lipdeploy.runtime.sources import open_source
from lipdeploy.runtime.sources.camera import Wanted, negotiate, wanted_from_options

MJPG, YUYV = 0x47504A4D, 0x56595559
CAPTURE, METADATA, HAS_NODE = 0x04200001, 0x04A00000, 0x80000000
SIZES = {MJPG: [(1920, 1080), (640, 480)], YUYV: [(640, 480)]}
RATES = {(MJPG, 1920, 1080): [30, 15], (MJPG, 640, 480): [60, 30], (YUYV, 640, 480): [30]}


class Device:
    """Answers as the driver would, or refuses."""

    def __init__(self, caps: int = CAPTURE, refuses: int = 0, busy: bool = False) -> None:
        self._caps, self._refuses, self._busy = caps, refuses, busy

    @contextlib.contextmanager
    def opened(self) -> Iterator[Callable[[int, bytearray], None]]:
        if self._refuses:
            raise OSError(self._refuses, os.strerror(self._refuses))
        yield self.control

    def control(self, request: int, data: bytearray) -> None:
        answers: Mapping[int, Callable[[bytearray], None]] = {
            raw.IOC.QUERYCAP & 0xFFFFFFFF: self._capability,
            raw.IOC.ENUM_FMT & 0xFFFFFFFF: self._format,
            raw.IOC.ENUM_FRAMESIZES & 0xFFFFFFFF: self._size,
            raw.IOC.ENUM_FRAMEINTERVALS & 0xFFFFFFFF: self._rate,
            raw.IOC.REQBUFS & 0xFFFFFFFF: self._buffers,
        }
        answers[request](data)

    def _capability(self, data: bytearray) -> None:
        found = raw.v4l2_capability.from_buffer(data)
        found.driver, found.card = b"uvcvideo", b"HD Pro Webcam C920"
        found.bus_info = b"usb-0000:00:14.0-1"
        found.capabilities, found.device_caps = HAS_NODE | CAPTURE | METADATA, self._caps

    def _format(self, data: bytearray) -> None:
        found = raw.v4l2_fmtdesc.from_buffer(data)
        assert found.type == 1
        found.pixelformat = entry(list(SIZES), found.index)

    def _size(self, data: bytearray) -> None:
        found = raw.v4l2_frmsizeenum.from_buffer(data)
        size = entry(SIZES[found.pixel_format], found.index)
        found.type = 1
        found.discrete.width, found.discrete.height = size

    def _rate(self, data: bytearray) -> None:
        found = raw.v4l2_frmivalenum.from_buffer(data)
        rate = entry(RATES[found.pixel_format, found.width, found.height], found.index)
        found.type = 1
        found.discrete.numerator, found.discrete.denominator = 1, rate

    def _buffers(self, data: bytearray) -> None:
        found = raw.v4l2_requestbuffers.from_buffer(data)
        assert (found.count, found.type, found.memory) == (0, 1, 1)
        if self._busy:
            raise OSError(errno.EBUSY, "busy")


def entry(values: list[Any], index: int) -> Any:
    if index >= len(values):
        raise OSError(errno.EINVAL, "past the end")
    return values[index]


@pytest.fixture
def dev(tmp_path: Path) -> Path:
    for name in ("video0", "video1", "video10", "null"):
        (tmp_path / name).touch()
    stable = tmp_path / "v4l/by-id"
    stable.mkdir(parents=True)
    (stable / "usb-046d_C920-video-index0").symlink_to("../../video0")
    return tmp_path


def listed(dev: Path, devices: Mapping[str, Device]) -> list[Any]:
    return cameras_here(dev, lambda path: devices[path.name].opened())


def test_requests_and_sizes_are_the_kernels() -> None:
    for ours, theirs in (
        (ioctl.QUERYCAP, raw.IOC.QUERYCAP),
        (ioctl.ENUM_FMT, raw.IOC.ENUM_FMT),
        (ioctl.REQBUFS, raw.IOC.REQBUFS),
        (ioctl.ENUM_FRAMESIZES, raw.IOC.ENUM_FRAMESIZES),
        (ioctl.ENUM_FRAMEINTERVALS, raw.IOC.ENUM_FRAMEINTERVALS),
    ):
        assert ours == theirs & 0xFFFFFFFF
    assert ioctl.CAPABILITY.size == ctypes.sizeof(raw.v4l2_capability)
    assert ioctl.FORMAT.size == ctypes.sizeof(raw.v4l2_fmtdesc)
    assert ioctl.FRAME_SIZE.size == ctypes.sizeof(raw.v4l2_frmsizeenum)
    assert ioctl.INTERVAL.size == ctypes.sizeof(raw.v4l2_frmivalenum)
    assert ioctl.BUFFERS.size == ctypes.sizeof(raw.v4l2_requestbuffers)


def test_what_a_camera_says(dev: Path) -> None:
    devices = {"video0": Device(), "video1": Device(METADATA), "video10": Device(busy=True)}
    camera, metadata, busy = listed(dev, devices)
    assert (camera.kind, camera.problem) == ("camera", "")
    assert (camera.name, camera.driver) == ("HD Pro Webcam C920", "uvcvideo")
    assert camera.stable == (str(dev / "v4l/by-id/usb-046d_C920-video-index0"),)
    assert [(m.pixel_format, m.width, m.height, m.rates) for m in camera.modes] == [
        ("MJPG", 1920, 1080, (30.0, 15.0)),
        ("MJPG", 640, 480, (60.0, 30.0)),
        ("YUYV", 640, 480, (30.0,)),
    ]
    assert metadata.kind == "metadata"
    assert metadata.fix == f"use {dev / 'video0'} of the same camera"
    assert busy.problem == "another program uses it"
    assert str(dev / "video10") in busy.fix


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        (errno.EACCES, "you may not open it"),
        (errno.EBUSY, "another program uses it"),
        (errno.ENODEV, "its camera was unplugged"),
        (errno.ENOTTY, "it is no camera"),
        (errno.EIO, "it cannot be opened"),
    ],
)
def test_why_a_camera_cannot_be_opened(dev: Path, code: int, problem: str) -> None:
    refusing = {name: Device(refuses=code) for name in ("video0", "video1", "video10")}
    for camera in listed(dev, refusing):
        assert problem in camera.problem
        assert camera.fix


def test_missing_nodes(tmp_path: Path) -> None:
    assert "there is no /dev/video*" in why_not(tmp_path / "video0", tmp_path)
    (tmp_path / "video1").touch()
    assert "is not there; list cameras" in why_not(tmp_path / "video0", tmp_path)
    assert "is no camera" in why_not(Path("/dev/null"))
    with pytest.raises(SourceError, match="it is no camera; list cameras"):
        open_source("/dev/null")


def test_the_list_for_people(dev: Path) -> None:
    devices = {"video0": Device(), "video1": Device(METADATA), "video10": Device(refuses=13)}
    text = cli.text(listed(dev, devices))
    assert f"{dev}/video0 HD Pro Webcam C920\n  stable:" in text
    assert "  MJPG\n    1920x1080   30, 15 fps\n    640x480     60, 30 fps\n  YUYV\n" in text
    assert "problem: it is the metadata node" in text
    assert "problem: you may not open it" in text
    assert "No camera" in cli.text([])


def test_fourcc() -> None:
    assert fourcc(MJPG) == "MJPG"
    assert fourcc(0x20203859) == "Y8"


class Negotiator:
    """A decoder that takes the nearest it has."""

    size = (640, 480)
    fps = 30.000030
    pixel_format = "MJPG"

    def __init__(self) -> None:
        self.asked: list[float] = []

    def set(self, property_id: int, value: float) -> bool:
        self.asked.append(value)
        return True


def test_options_are_set_and_checked() -> None:
    wanted = wanted_from_options({"size": "640x480", "fps": "30", "format": "mjpg"}, "x")
    assert wanted == Wanted(640, 480, 30.0, "mjpg")
    decoder: Any = Negotiator()
    negotiate(decoder, wanted)
    assert decoder.asked[1:] == [640, 480, 30.0]
    for query, words in (
        ({"size": "1280x720"}, "delivers 640x480 where 1280x720 was asked"),
        ({"fps": "60"}, "delivers 30 fps where 60 fps was asked"),
        ({"format": "YUYV"}, "delivers MJPG where YUYV was asked"),
    ):
        with pytest.raises(SourceError, match=words):
            negotiate(decoder, wanted_from_options(query, "x"))


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("0?size=640", "size=640 is not understood"),
        ("0?format=JPEG2000", "format=JPEG2000 is not understood"),
        ("0?fps=fast", "fps=fast is not understood"),
        ("0?sise=1x1", "unknown option 'sise'"),
        ("csi://x", "expected csi://0"),
        ("csi://0", "is none; use /dev/video0"),
        ("gst://", "names no pipeline"),
        ("gst://videotestsrc ! appsink", "this OpenCV has no GStreamer"),
    ],
)
def test_refusals(address: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = "lipdeploy.runtime.sources.gstreamer"
    monkeypatch.setattr(f"{module}.has_gstreamer", lambda: False)
    monkeypatch.setattr(f"{module}._is_jetson", lambda: False)
    with pytest.raises(SourceError) as caught:
        open_source(address)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_pipelines() -> None:
    from lipdeploy.runtime.sources.gstreamer import csi_pipeline, pipeline_from_address

    text = pipeline_from_address("gst://v4l2src device=/dev/video0 !")
    assert text.startswith("v4l2src device=/dev/video0 ! videoconvert ! video/x-raw,format=BGR !")
    assert text.endswith("appsink drop=true max-buffers=1 sync=false")
    assert pipeline_from_address("gst://a ! appsink") == "a ! appsink"
    text, options = csi_pipeline("csi://1?size=1920x1080&fps=60&reconnect=2")
    assert "sensor-id=1 ! video/x-raw(memory:NVMM),width=1920,height=1080,framerate=60/1" in text
    assert options.backoff.tries == 2
