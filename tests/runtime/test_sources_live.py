"""Live sources that hang, come back, or never come back: bounds, states, and no old frames."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable

import numpy as np
import pytest

from lipdeploy.core.errors import SourceError, SourceLostError
from lipdeploy.runtime.sources import Frame, open_source, redacted, states_of
from lipdeploy.runtime.sources.backoff import Backoff
from lipdeploy.runtime.sources.connection import Shot
from lipdeploy.runtime.sources.live import LiveCapture
from lipdeploy.runtime.sources.network import CaptureOptions
from lipdeploy.runtime.sources.options import LiveOptions, live_options, split_address

OPTIONS = LiveOptions(Backoff(2, first_s=1e-3), open_s=0.1, read_s=0.1)


class Link:
    """Shows its own number in every frame; before frame `hangs_at` it waits for `freed`."""

    def __init__(self, number: int, frames: int, hangs_at: int = -1, opened: bool = True) -> None:
        self.opened = opened
        self.fps = 30.0
        self.what = "fake"
        self.number = number
        self.freed = threading.Event()
        self.released = threading.Event()
        self._left = frames
        self._hangs_at = hangs_at
        self._read = 0

    def shot(self) -> Shot | None:
        if self._read == self._hangs_at:
            self.freed.wait(30)
        self._read += 1
        self._left -= 1
        image = np.full((2, 2, 3), self.number, np.uint8)
        return Shot(image, time.monotonic()) if self._left >= 0 else None

    def ended(self, frames: int) -> bool:
        return False

    def release(self) -> None:
        self.released.set()


def plan(*links: Link) -> Callable[[], Link]:
    waiting = list(links)
    return lambda: waiting.pop(0) if waiting else Link(99, 0, opened=False)


@pytest.fixture(autouse=True)
def short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lipdeploy.runtime.sources.live._GRACE_S", 0.1)


def drained_until_lost(source: LiveCapture) -> tuple[list[Frame], str]:
    frames: list[Frame] = []
    with pytest.raises(SourceLostError) as caught:
        frames.extend(source)
    return frames, str(caught.value)


def test_a_hung_driver_is_left_behind_and_its_frame_is_never_shown() -> None:
    hung, next_one = Link(1, 5, hangs_at=2), Link(2, 3)
    source = LiveCapture("camera x", plan(hung, next_one), "check it", OPTIONS)
    frames: list[Frame] = []
    iterator = iter(source)
    frames.extend(next(iterator) for _ in range(3))
    assert [int(f.image[0, 0, 0]) for f in frames] == [1, 1, 2]
    state = source.state()
    assert (state.status, state.reconnects) == ("live", 1)
    assert state.last_error == "delivered nothing for 0.1 s"
    assert state.down_s == pytest.approx(frames[2].captured_s - frames[1].captured_s, abs=1e-6)
    hung.freed.set()  # the driver wakes up: what it delivers now is old
    assert hung.released.wait(10)
    with pytest.raises(SourceLostError, match="broke off after 5 frames in 2 tries; check it"):
        frames.extend(iterator)
    assert [int(f.image[0, 0, 0]) for f in frames] == [1, 1, 2, 2, 2]
    assert [f.index for f in frames] == [0, 1, 2, 3, 4]
    assert source.state().status == "lost"


def test_a_device_that_hangs_when_opened() -> None:
    forever = threading.Event()

    def connect() -> Link:
        forever.wait(30)
        return Link(1, 1)

    options = LiveOptions(Backoff(1, first_s=1e-3), open_s=0.1)
    with pytest.raises(SourceError, match=r"in 2 tries; it did not open within 0\.1 s"):
        LiveCapture("camera x", connect, "check it", options)
    forever.set()


def test_a_driver_that_hangs_for_ever_does_not_fill_the_memory() -> None:
    forever, begun = threading.Event(), []

    def connect() -> Link:
        begun.append(1)
        forever.wait(30)
        return Link(1, 1)

    options = LiveOptions(Backoff(50, first_s=1e-3, cap_s=1e-3), open_s=1e-3)
    with pytest.raises(SourceError, match="8 reads of it hang; reset the device or its driver"):
        LiveCapture("camera x", connect, "check it", options)
    forever.set()
    assert len(begun) == 8


def test_the_first_connection_is_tried_again() -> None:
    source = LiveCapture(
        "stream x", plan(Link(1, 0, opened=False), Link(2, 1)), "check it", OPTIONS
    )
    assert source.state().status == "connecting"
    assert int(next(iter(source)).image[0, 0, 0]) == 2
    assert source.state().reconnects == 0


def test_a_server_that_accepts_and_says_nothing_is_not_tried_for_ever() -> None:
    made: list[Link] = []

    def connect() -> Link:
        made.append(Link(1, 0))
        return made[-1]

    frames, message = drained_until_lost(LiveCapture("stream x", connect, "check it", OPTIONS))
    assert frames == []
    assert "broke off after 0 frames in 3 tries" in message
    assert len(made) == 3


def test_what_the_device_says_is_in_the_message() -> None:
    def connect() -> Link:
        raise SourceError("another program uses it; end it")

    with pytest.raises(SourceError, match="x cannot be opened; another program uses it; end it"):
        LiveCapture("camera x", connect, "check it", LiveOptions(Backoff(0)))


def test_an_unknown_exception_is_not_quoted() -> None:
    def connect() -> Link:
        raise RuntimeError("rtsp://u:s3cret@host")

    with pytest.raises(SourceError, match="failed") as caught:
        LiveCapture("camera x", connect, "check it", LiveOptions(Backoff(0)))
    assert "s3cret" not in str(caught.value)


def test_close_while_a_read_hangs() -> None:
    hung = Link(1, 5, hangs_at=0)
    source = LiveCapture("camera x", plan(hung), "check it", LiveOptions(read_s=60.0))
    thread = threading.Thread(target=lambda: list(source))
    thread.start()
    source.close()
    thread.join(10)
    assert not thread.is_alive()
    assert source.state().status == "ended"
    hung.freed.set()
    assert hung.released.wait(10)


def test_waits_double_to_the_cap_within_the_jitter() -> None:
    backoff = Backoff(tries=8, first_s=0.5, cap_s=5.0, jitter=0.25)
    waits = list(backoff.waits_s(random.Random(0)))
    nominal = [0.5, 1, 2, 4, 5, 5, 5, 5]
    assert len(waits) == 8
    ratios = np.array(waits) / nominal
    assert ((ratios >= 0.75) & (ratios <= 1.25)).all()
    assert len(set(np.round(ratios, 6))) == 8
    assert not list(Backoff(0).waits_s(random.Random(0)))


def test_time_bounds_the_tries() -> None:
    options = LiveOptions(Backoff(None, for_s=0.3, first_s=0.05, cap_s=0.05))
    began_s = time.monotonic()
    with pytest.raises(SourceError, match=r"in \d+ tries"):
        LiveCapture("stream x", plan(), "check it", options)
    assert time.monotonic() - began_s >= 0.3


def test_options_are_ours_and_the_rest_is_the_servers() -> None:
    url, found = split_address(
        "rtsp://h/x?b=%2F&reconnect=3&a=1+2&stall=500ms", ("reconnect", "stall")
    )
    assert url == "rtsp://h/x?b=%2F&a=1+2"
    options = live_options(found, "x", Backoff())
    assert (options.backoff.tries, options.backoff.for_s, options.read_s) == (3, None, 0.5)
    only = live_options({"reconnect_for": "1min"}, "x", Backoff())
    assert (only.backoff.tries, only.backoff.for_s) == (None, 60.0)


@pytest.mark.parametrize(
    "query", ["reconnect=-1", "reconnect=x", "read_timeout=0s", "open_timeout=2h", "stall=soon"]
)
def test_bad_options_are_refused_without_the_password(query: str) -> None:
    with pytest.raises(SourceError) as caught:
        open_source(f"rtsp://u:s3cret@127.0.0.1:1/x?{query}")
    assert "s3cret" not in str(caught.value)
    assert query.partition("=")[2].strip("0") in str(caught.value)


def test_unknown_transport() -> None:
    with pytest.raises(SourceError, match="expected one of tcp, udp"):
        open_source("rtsp://127.0.0.1:1/x?rtsp_transport=pigeon")


def test_options_of_ffmpeg_are_in_force_only_while_they_are_held(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name = "OPENCV_FFMPEG_CAPTURE_OPTIONS"
    monkeypatch.setenv(name, "max_delay;500000")
    options, short = CaptureOptions(), LiveOptions(open_s=0.05)
    with options.holding("rtsp_transport;tcp", short):
        assert os.environ[name] == "max_delay;500000|rtsp_transport;tcp"
        with options.holding("rtsp_transport;tcp", short):
            pass
        with pytest.raises(SourceError, match="still being opened"), options.holding("", short):
            pass
    assert os.environ[name] == "max_delay;500000"


@pytest.mark.parametrize(
    "address",
    [
        "rtsp://user:s3/cret@host/live",
        "rtsp://user:s3?cret#@host/live",
        "http://host/a?api_key=s3cret;x",
        "http://host/a?x=1&X-Amz-Signature=s3cret",
        "http://host/a#access_token=s3cret",
        "gst://rtspsrc location=rtsp://u:s3cret@host user-pw=s3cret ! decodebin",
        "rtsp://host:554/user=admin_password=s3cret_channel=1_stream=0.sdp?real_stream",
        "rtsp:/admin:s3cret@host/live",
        "admin:s3cret@host/live",
    ],
)
def test_more_passwords_are_redacted(address: str) -> None:
    shown = redacted(address)
    assert "s3" not in shown
    assert "cret" not in shown
    assert "host" in shown


def test_states_of_a_file() -> None:
    source = open_source("test://scene?duration=1s&size=64x48&fps=10")
    assert [state.status for state in states_of(source)] == ["live"]
