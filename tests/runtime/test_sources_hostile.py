"""Files as they should not be: damaged, tiny, huge, grey, transparent, 10 bit, of changing size."""

from __future__ import annotations

import contextlib
import struct
import zlib
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt
import pytest

from lipdeploy.core.errors import SourceError, SourceLostError
from lipdeploy.runtime.sources import Frame, open_source
from lipdeploy.runtime.sources.frame_size import (
    LARGEST_PIXELS,
    LARGEST_SIDE,
    size_from_header,
    too_large,
)

Image = npt.NDArray[np.uint8]


def drained(address: str) -> list[Frame]:
    source = open_source(address)
    try:
        return list(source)
    finally:
        source.close()


def gradient(height: int, width: int, shift: int = 0) -> Image:
    rows, columns = np.mgrid[0:height, 0:width]
    planes = [(rows * 3 + shift) % 256, (columns * 2 + shift) % 256, (rows + columns) % 256]
    return np.stack(planes, axis=2).astype(np.uint8)


def encode(
    path: Path, images: Sequence[Image], codec: str = "libx264", pixels: str = "yuv420p"
) -> Path:
    """Written by PyAV, so that another library than the one under test made the file."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=Fraction(10))
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = pixels
        if codec == "libx264":
            stream.options = {"preset": "ultrafast", "g": "5", "x264-params": "threads=1"}
        for image in images:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def test_damaged_h264_never_crashes_and_never_invents_frames(tmp_path: Path) -> None:
    whole = encode(tmp_path / "whole.mp4", [gradient(96, 128, 5 * i) for i in range(40)])
    assert len(drained(str(whole))) == 40
    data = whole.read_bytes()
    begin = data.index(b"mdat") + 4
    end = data.index(b"moov") if data.index(b"moov") > begin else len(data)
    chance = np.random.default_rng(0)
    for trial in range(8):
        broken = bytearray(data)
        for at in chance.integers(begin + 200, end, 60):
            broken[at] ^= int(chance.integers(1, 256))
        path = tmp_path / f"broken{trial}.mp4"
        path.write_bytes(broken)
        frames: list[Frame] = []
        with contextlib.suppress(SourceError, SourceLostError):
            frames.extend(open_source(str(path)))
        assert len(frames) <= 40
        assert [f.index for f in frames] == list(range(len(frames)))
        assert all(f.image.shape == (96, 128, 3) for f in frames)


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (3, 5), (37, 53)])
def test_tiny_and_odd_frames(tmp_path: Path, size: tuple[int, int]) -> None:
    images = [gradient(*size, 40 * i) for i in range(3)]
    path = encode(tmp_path / "odd.mkv", images, "ffv1", "bgr0")
    frames = drained(str(path))
    assert len(frames) == 3
    for frame, image in zip(frames, images, strict=True):  # ffv1 is lossless
        assert np.array_equal(frame.image, image)


def test_odd_h264(tmp_path: Path) -> None:
    path = encode(tmp_path / "odd.mp4", [gradient(37, 53)] * 3, "libx264", "yuv444p")
    assert [f.image.shape for f in drained(str(path))] == [(37, 53, 3)] * 3


def test_ten_bit_video_is_taken_to_eight(tmp_path: Path) -> None:
    images = [gradient(64, 96)] * 3
    path = encode(tmp_path / "ten.mkv", images, "ffv1", "yuv420p10le")
    with av.open(str(path)) as container:
        decoded = next(container.decode(video=0))
        assert decoded.format.name == "yuv420p10le"
        oracle = decoded.to_ndarray(format="rgb24").astype(int)
    frames = drained(str(path))
    assert len(frames) == 3
    assert frames[0].image.dtype == np.uint8
    assert np.abs(frames[0].image.astype(int) - oracle).mean() < 2


def test_grey_video_has_three_equal_channels(tmp_path: Path) -> None:
    path = encode(tmp_path / "grey.mkv", [gradient(48, 64)] * 2, "ffv1", "gray")
    image = drained(str(path))[0].image
    assert image.shape == (48, 64, 3)
    assert np.ptp(image.astype(int), axis=2).max() <= 1


def test_the_size_may_change_in_the_middle_of_a_stream(tmp_path: Path) -> None:
    levels = [20 * i for i in range(10)]
    parts = [
        encode(tmp_path / f"{i}.h264", [np.full((*size, 3), v, np.uint8) for v in levels])
        for i, size in enumerate(((48, 64), (96, 128)))
    ]
    path = tmp_path / "changes.h264"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    frames = drained(str(path))
    # OpenCV scales what follows to the size that it began with, and does not tell.
    assert [f.image.shape for f in frames] == [(48, 64, 3)] * 20
    assert [round(f.image.mean()) for f in frames] == pytest.approx(levels * 2, abs=8)


@pytest.mark.parametrize("mode", ["grey", "rgba", "sixteen"])
def test_images_of_other_kinds(tmp_path: Path, mode: str) -> None:
    rgb = gradient(20, 30)
    expected = rgb
    path = str(tmp_path / "a.png")
    if mode == "grey":
        grey = rgb[:, :, 0]
        cv2.imwrite(path, grey)
        expected = np.repeat(grey[:, :, np.newaxis], 3, axis=2)
    elif mode == "rgba":  # colours below transparency count as they are stored
        alpha = np.zeros((20, 30, 1), np.uint8)
        cv2.imwrite(path, np.concatenate([rgb[:, :, ::-1], alpha], axis=2))
    else:
        cv2.imwrite(path, rgb[:, :, ::-1].astype(np.uint16) * 257)
    assert np.array_equal(drained(path)[0].image, expected)


def huge_png(width: int, height: int) -> bytes:
    """A valid header; decoding it would ask for gigabytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def test_a_16k_image_is_refused_before_it_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def decode(*args: object) -> None:
        raise AssertionError("it was decoded")

    (tmp_path / "huge.png").write_bytes(huge_png(15360, 8640))
    monkeypatch.setattr("lipdeploy.runtime.sources.images.cv2.imdecode", decode)
    with pytest.raises(SourceError, match=r"15360x8640 pixels, at most 64 Mi pixels.*scale it"):
        open_source(str(tmp_path / "huge.png"))


def test_a_16k_image_among_others_ends_the_source(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), gradient(20, 30))
    (tmp_path / "b.png").write_bytes(huge_png(15360, 8640))
    source = open_source(str(tmp_path))
    iterator = iter(source)
    assert next(iterator).name == "a.png"
    with pytest.raises(SourceLostError, match="15360x8640"):
        next(iterator)


def test_a_16k_video_is_refused(tmp_path: Path) -> None:
    flat = np.full((8640, 15360, 3), 90, np.uint8)
    path = encode(tmp_path / "huge.avi", [flat], "mjpeg", "yuvj420p")
    del flat
    with pytest.raises(SourceError, match="15360x8640 pixels"):
        open_source(str(path))


def test_limits() -> None:
    assert too_large(8192, 8192) == ""
    assert too_large(7680, 4320) == ""
    assert too_large(LARGEST_SIDE, 1) == ""
    assert "16385x1" in too_large(LARGEST_SIDE + 1, 1)
    assert too_large(LARGEST_PIXELS // 4096 + 1, 4096)


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "webp", "tif"])
def test_sizes_from_headers(suffix: str) -> None:
    for height, width in ((1, 1), (37, 53), (240, 320)):
        ok, data = cv2.imencode(f".{suffix}", gradient(height, width))
        assert ok
        assert size_from_header(data.tobytes()) == (width, height)
    ok, lossy = cv2.imencode(".webp", gradient(37, 53), [cv2.IMWRITE_WEBP_QUALITY, 50])
    assert size_from_header(lossy.tobytes()) == (53, 37)


@pytest.mark.parametrize(
    "data", [b"", b"GIF89a", b"\x89PNG", b"\xff\xd8\xff", b"RIFF1234WEBP", b"II*\0\xff\xff\xff\xff"]
)
def test_headers_that_are_none(data: bytes) -> None:
    assert size_from_header(data) is None


def test_lists_and_patterns(tmp_path: Path) -> None:
    for i in range(3):
        cv2.imwrite(str(tmp_path / f"{i}.png"), gradient(20, 30, i))
    encode(tmp_path / "a.mp4", [gradient(48, 64, i) for i in range(4)])
    encode(tmp_path / "b.mp4", [gradient(96, 128, i) for i in range(3)])
    listing = tmp_path / "order.txt"
    listing.write_text("# newest first\n2.png\n\n0.png\n")
    for address in (str(listing), f"list:{listing}"):
        assert [f.name for f in drained(address)] == ["2.png", "0.png"]
    videos = drained(str(tmp_path / "*.mp4"))
    assert [f.index for f in videos] == list(range(7))
    assert [f.image.shape[0] for f in videos] == [48] * 4 + [96] * 3
    assert (np.diff([f.time_ms for f in videos]) > 0).all()
    for text, words in (
        ("9.png", "which is not there"),
        ("# nothing", "names 0 files"),
        ("0.png\na.mp4", "name one kind"),
    ):
        listing.write_text(text)
        with pytest.raises(SourceError, match=words):
            open_source(str(listing))
    with pytest.raises(SourceError, match="matches 3 images and 2 videos"):
        open_source(str(tmp_path / "*.[pm]*"))
