"""Sources: order, count, what they refuse and with which words."""

from __future__ import annotations

import functools
import http.server
import threading
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from lipdeploy.core.errors import SourceError, SourceLostError
from lipdeploy.runtime.sources import Frame, open_source, redacted
from lipdeploy.runtime.sources.backoff import Backoff
from lipdeploy.runtime.sources.connection import Shot
from lipdeploy.runtime.sources.live import LiveCapture
from lipdeploy.runtime.sources.options import LiveOptions

MakeVideo = Callable[..., Path]


def drain(address: str) -> list[Frame]:
    source = open_source(address)
    try:
        return list(source)
    finally:
        source.close()


def drain_until_lost(address: str) -> tuple[list[Frame], str]:
    frames: list[Frame] = []
    source = open_source(address)
    with pytest.raises(SourceLostError) as caught:
        frames.extend(source)
    source.close()
    return frames, str(caught.value)


def save(path: Path, value: int, size: tuple[int, int] = (32, 24)) -> Path:
    cv2.imwrite(str(path), np.full((size[1], size[0], 3), value, np.uint8))
    return path


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi"])
def test_every_frame_of_a_video_in_order(make_video: MakeVideo, name: str) -> None:
    frames = drain(str(make_video(name, 30)))
    assert [f.index for f in frames] == list(range(30))
    for i, frame in enumerate(frames):
        assert frame.image.shape == (48, 64, 3)
        assert frame.image.mean() == pytest.approx(40 + 4 * i, abs=6)
    assert (np.diff([f.image.mean() for f in frames]) >= 0).all()
    times = [f.time_ms for f in frames]
    assert np.allclose(np.diff(times), 100, atol=2)


def test_video_is_rgb(tmp_path: Path) -> None:
    path = tmp_path / "red.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 10, (64, 48))
    writer.write(np.full((48, 64, 3), (0, 0, 255), np.uint8))
    writer.release()
    red, green, blue = drain(str(path))[0].image.mean((0, 1))
    assert red > 200
    assert max(green, blue) < 60


@pytest.mark.parametrize("name", ["cut.mkv", "cut.avi"])
def test_truncated_video_is_lost_after_what_can_be_decoded(
    make_video: MakeVideo, name: str
) -> None:
    path = make_video(name, 60, (320, 240))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    frames, message = drain_until_lost(str(path))
    assert 5 < len(frames) < 55
    assert f"{len(frames)} of 60 declared frames" in message


def test_mp4_without_its_index_cannot_be_opened(make_video: MakeVideo) -> None:
    path = make_video("cut.mp4", 60)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(SourceError, match="cannot be decoded"):
        open_source(str(path))


def test_folder_is_sorted_and_sizes_may_differ(tmp_path: Path) -> None:
    save(tmp_path / "b.png", 20, (40, 30))
    save(tmp_path / "a.png", 10)
    save(tmp_path / "c.jpg", 30)
    (tmp_path / "notes.txt").write_text("no image")
    frames = drain(str(tmp_path))
    assert [f.name for f in frames] == ["a.png", "b.png", "c.jpg"]
    assert [f.image.shape for f in frames] == [(24, 32, 3), (30, 40, 3), (24, 32, 3)]


def test_pattern_and_single_image(tmp_path: Path) -> None:
    save(tmp_path / "b.png", 20)
    save(tmp_path / "a.jpg", 10)
    assert [f.name for f in drain(str(tmp_path / "*.png"))] == ["b.png"]
    assert [f.name for f in drain(str(tmp_path / "a.jpg"))] == ["a.jpg"]


def test_file_whose_name_looks_like_a_pattern(tmp_path: Path) -> None:
    assert len(drain(str(save(tmp_path / "a[1].png", 5)))) == 1


@pytest.mark.parametrize("broken", [b"", b"no image", None])
def test_broken_image_in_a_folder(tmp_path: Path, broken: bytes | None) -> None:
    save(tmp_path / "a.png", 10)
    last = save(tmp_path / "b.png", 20, (200, 100))
    last.write_bytes(last.read_bytes()[:-20] if broken is None else broken)
    frames, message = drain_until_lost(str(tmp_path))
    assert [f.name for f in frames] == ["a.png"]
    assert "b.png cannot be decoded" in message


def test_truncated_jpeg_is_not_shown_half_grey(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    cv2.imwrite(str(path), noise)
    whole = path.read_bytes()
    assert len(drain(str(path))) == 1
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SourceError, match="truncated"):
        open_source(str(path))


def test_jpeg_with_a_thumbnail_is_judged_by_its_own_end(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    whole = path.read_bytes()
    thumbnail = b"\xff\xd8thumb\xff\xd9"
    segment = b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
    path.write_bytes(whole[:2] + segment + whole[2:])
    assert len(drain(str(path))) == 1
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(SourceError, match="truncated"):
        open_source(str(path))


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("nothing.mp4", "does not exist"),
        ("", "does not exist"),
        ("nothing/*.png", "matches no image"),
        ("/dev/video98", "is not there"),
        ("98", "cannot be opened"),
        ("/dev/null", "cannot be opened"),
        ("ftp://host/x", "ftp:// is not supported"),
        ("test://other", "is unknown"),
        ("test://scene?sise=64x48", "unknown key 'sise'"),
        ("test://scene?size=64", "size '64'"),
        ("test://scene?size=8x8", "size below 32"),
        ("test://scene?fps=nan", "fps outside"),
        ("test://scene?fps=abc", "is not understood"),
        ("test://scene?seed=x", "is not understood"),
        ("test://scene?duration=0s", "shorter than one frame"),
        ("test://scene?duration=-1s", "time '-1s' is not understood"),
        ("test://scene?fault=melt@1s", "fault 'melt@1s' is unknown"),
        ("test://scene?fault=freeze", "fault 'freeze' is unknown"),
        ("test://scene?fault=freeze@now", "time 'now' is not understood"),
    ],
)
def test_refusals(address: str, words: str) -> None:
    with pytest.raises(SourceError) as caught:
        open_source(address)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_folder_refusals(tmp_path: Path) -> None:
    video_like = tmp_path / "drive.mp4"
    video_like.mkdir()
    with pytest.raises(SourceError, match="is a folder without images"):
        open_source(str(video_like))
    (tmp_path / "text.mp4").write_text("hello")
    with pytest.raises(SourceError, match="5 bytes"):
        open_source(str(tmp_path / "text.mp4"))
    (tmp_path / "empty.mkv").touch()
    with pytest.raises(SourceError, match="0 bytes"):
        open_source(str(tmp_path / "empty.mkv"))


@pytest.mark.parametrize(
    "address",
    [
        "rtsp://user:s3cret@host:554/live",
        "rtsp://user:s3@cret@host/live",
        "http://host/live?password=s3cret&x=1",
        "http://host/live?x=1&Token=s3cret",
        "http://:s3cret@host/",
    ],
)
def test_passwords_are_redacted(address: str) -> None:
    shown = redacted(address)
    assert "s3" not in shown
    assert "cret" not in shown
    assert "host" in shown
    assert "***" in shown


def test_addresses_without_passwords_stay() -> None:
    for address in ("rtsp://host:554/a@b", "http://user@host/x?size=3", "0", "a/b@c.mp4"):
        assert redacted(address) == address


def test_network_error_hides_the_password(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SourceError) as caught:
        open_source("rtsp://u:s3cret@127.0.0.1:1/x?reconnect=1&token=s3cret")
    assert "s3cret" not in str(caught.value)
    assert "in 2 tries" in str(caught.value)
    out, err = capfd.readouterr()
    assert out == err == ""


class FakeDecoder:
    """Delivers some frames, then none."""

    def __init__(self, frames: int) -> None:
        self.opened = frames >= 0
        self.fps = 25.0
        self.what = ""
        self.left = frames
        self.released = False

    def shot(self) -> Shot | None:
        self.left -= 1
        image = np.zeros((4, 4, 3), np.uint8)
        return Shot(image, time.monotonic()) if self.left >= 0 else None

    def ended(self, frames: int) -> bool:
        return False

    def release(self) -> None:
        self.released = True


def capture(
    plan: list[int], tries: int, first_s: float = 1e-3
) -> tuple[LiveCapture, list[FakeDecoder]]:
    made: list[FakeDecoder] = []

    def connect() -> FakeDecoder:
        made.append(FakeDecoder(plan[len(made)] if len(made) < len(plan) else -1))
        return made[-1]

    options = LiveOptions(Backoff(tries, first_s=first_s))
    return LiveCapture("stream x", connect, "check it", options), made


def test_network_reconnects_with_a_bound_and_goes_on_counting() -> None:
    source, made = capture([-1, 3, -1, 2], 2)
    frames: list[Frame] = []
    with pytest.raises(SourceLostError, match="broke off after 5 frames in 2 tries; check it"):
        frames.extend(source)
    assert [f.index for f in frames] == [0, 1, 2, 3, 4]
    assert all(decoder.released for decoder in made)


def test_file_behind_a_url_ends(make_video: MakeVideo) -> None:
    folder = make_video("a.avi", 20).parent
    handler = functools.partial(QuietHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        frames = drain(f"http://127.0.0.1:{server.server_port}/a.avi")
        server.shutdown()
        thread.join()
    assert [f.index for f in frames] == list(range(20))


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Keep the test's output clean."""


def test_camera_does_not_reconnect() -> None:
    source, made = capture([2], 0)
    with pytest.raises(SourceLostError, match="broke off after 2 frames; check it"):
        list(source)
    assert len(made) == 1


def test_close_ends_a_reconnect() -> None:
    source, _ = capture([1], 1, 60.0)
    thread = threading.Thread(target=lambda: list(source))
    thread.start()
    source.close()
    thread.join(5)
    assert not thread.is_alive()
