"""What a display may show: nothing old, nothing repeated, nothing of a camera that went quiet."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lipdeploy.runtime.presence import Presence
from lipdeploy.runtime.result import Result
from lipdeploy.runtime.session import open_session
from lipdeploy.runtime.sinks.jsonl import JsonlSink
from lipdeploy.runtime.sources.frame import Frame
from lipdeploy.runtime.stream import Stream, StreamOptions

Image = npt.NDArray[np.uint8]


def noise(seed: int) -> Image:
    return np.random.default_rng(seed).integers(0, 256, (48, 64, 3), np.uint8)


class Scripted:
    """A camera that delivers given pictures, waiting for a gate before each."""

    still, fps = False, 20.0

    def __init__(self, images: Sequence[Image], gate: Callable[[int], Any], live: bool) -> None:
        self._images, self._gate, self.live = images, gate, live

    def describe(self) -> str:
        return "scripted camera"

    def __iter__(self) -> Iterator[Frame]:
        for index, image in enumerate(self._images):
            self._gate(index)
            yield Frame(image, index, index * 50.0, time.monotonic(), str(index))
        self._gate(len(self._images))

    def close(self) -> None:
        """Nothing is open."""


class Gated:
    """A sink that holds each result until it is let through."""

    def __init__(self, live: bool, overlay: bool = False) -> None:
        self.live, self.wants_overlay = live, overlay
        self.begun, self.let = threading.Event(), threading.Event()
        self.results: list[Result] = []

    def write(self, result: Result) -> None:
        self.begun.set()
        assert self.let.wait(30)
        self.results.append(result)

    def describe(self) -> str:
        return "gated"

    def close(self) -> None:
        """Nothing to finish."""


def test_a_repeat_of_a_dropped_frame_claims_nothing(model_path: Path, recorder: Any) -> None:
    """Of A B B only A and the second B reach the model; B is judged where it arrives."""
    sink = recorder()
    with open_session(model_path) as session:
        infer, entered, release = session.infer, threading.Event(), threading.Event()

        def slow(image: Image, eps: Sequence[float]) -> Any:
            entered.set()
            assert release.wait(30)
            return infer(image, eps)

        def gate(index: int) -> None:
            if index == 1:
                assert entered.wait(30)
            if index == 3:
                release.set()

        session.infer = slow  # type: ignore[method-assign]
        source = Scripted([noise(0), noise(1), noise(1)], gate, live=True)
        report = Stream(session, source, [sink], StreamOptions(max_staleness_s=60)).run()
    shown = [(r.frame.index, r.reason, r.claims) for r in sink.results]
    assert shown == [(0, "", True), (2, "frozen", False)]
    assert report.dropped_at == {"queue": 1, "stop": 0}


def test_a_display_that_comes_late_shows_no_claim(model_path: Path) -> None:
    """The result waits in the display's queue until it is too old; a recording keeps the claim."""
    display, recording = Gated(live=True, overlay=True), Gated(live=False, overlay=True)
    recording.let.set()

    def gate(index: int) -> None:
        if index == 1:  # the display is busy with frame 0 when frame 1 is queued
            assert display.begun.wait(30)
        if index == 2:
            while len(recording.results) < 2:
                time.sleep(0.01)
            time.sleep(5.1)
            display.let.set()

    with open_session(model_path) as session:
        source = Scripted([noise(0), noise(1)], gate, live=True)
        options = StreamOptions(max_staleness_s=5.0, eps=0.05)
        Stream(session, source, [display, recording], options).run()
    real = [r for r in recording.results if not r.placeholder]
    assert [r.claims for r in real] == [True, True]
    late = display.results[-1]
    assert (late.state, late.claims, late.prediction, late.regions) == (
        "withheld",
        False,
        None,
        None,
    )
    shown, recorded = late.overlay, real[1].overlay
    assert shown is not None
    assert recorded is not None
    assert not np.array_equal(shown, recorded)


def test_a_quiet_camera_is_told_of(model_path: Path, tmp_path: Path) -> None:
    display, log = Gated(live=True, overlay=True), JsonlSink(tmp_path / "x", ("a", "b", "c"))
    display.let.set()
    recording = Gated(live=False, overlay=True)
    recording.let.set()

    def gate(index: int) -> None:
        until_s = time.monotonic() + 30
        while index == 1 and time.monotonic() < until_s:
            if sum(r.placeholder for r in display.results) >= 2:
                return
            time.sleep(0.01)

    with open_session(model_path) as session:
        source = Scripted([noise(0)], gate, live=True)
        options = StreamOptions(max_staleness_s=0.2)
        report = Stream(session, source, [display, log, recording], options).run()
    told = [r for r in display.results if r.placeholder]
    assert len(told) >= 2
    assert all((r.state, r.claims, r.regions) == ("withheld", False, None) for r in told)
    assert told[-1].reason == "no frame"
    assert all(r.overlay is not None for r in told)
    assert not any(r.placeholder for r in recording.results), "a recording holds frames only"
    assert sum(report.placeholders.values()) >= 2
    assert report.shown == report.frames_in == 1
    lines = [json.loads(line) for line in (tmp_path / "x").read_text().splitlines()]
    quiet = [line for line in lines if line["index"] is None]
    assert len(quiet) >= 2
    for line in quiet:
        assert (line["state"], line["regions"], line["certified_share"]) == ("withheld", [], None)
    first = next(line for line in lines if line["index"] == 0)
    assert abs(first["captured_at_s"] - time.time()) < 600
    assert first["age_ms"] == first["latency_ms"]


def test_files_have_no_age(model_path: Path, recorder: Any) -> None:
    sink = recorder()
    with open_session(model_path) as session:
        source = Scripted([noise(0), noise(1)], lambda index: None, live=False)
        Stream(session, source, [sink], StreamOptions()).run()
    lines = [r.to_json(("a", "b", "c")) for r in sink.results]
    assert [(line["age_ms"], line["captured_at_s"]) for line in lines] == [(None, None)] * 2


def test_presence_by_its_clock() -> None:
    """A claim ends with its staleness; then a placeholder a second, and none once frames flow."""
    presence = Presence(live=True, max_staleness_s=0.5, size=(4, 4))
    presence.start(0.0)
    assert list(presence.due(0.9)) == []
    assert [reason for _, reason in presence.due(1.1)] == ["no frame"]
    frame = Frame(noise(0), 0, 0.0, 2.0, "0")
    presence.captured(frame, 2.0)
    ok = Result(frame, "ok", "", 0.1, None, "statistical")
    presence.shown(ok, 2.1)
    assert list(presence.due(2.4)) == []
    assert 0.0 < presence.wait_s(2.45, 0.1) < 0.1
    assert [reason for _, reason in presence.due(2.6)] == ["no frame"]
    silent = Result(frame, "withheld", "no frame", 0.1, None, "statistical", placeholder=True)
    presence.shown(silent, 2.6)
    assert list(presence.due(3.5)) == []
    presence.captured(frame, 3.6)  # it arrives, but the model does not come back with it
    assert [reason for _, reason in presence.due(3.7)] == ["stale"]
    assert not list(Presence(live=False, max_staleness_s=0.5, size=(4, 4)).due(99.0))


def test_a_camera_that_never_delivers_is_said_to_be_silent_beside_a_good_one() -> None:
    presence = Presence(live=True, max_staleness_s=0.5, size=(4, 4))
    presence.start(10.0, ["front", "rear"])
    image = np.full((4, 4, 3), 9, np.uint8)
    said = []
    for step in range(1, 31):
        now_s = 10.0 + step / 10
        presence.captured(Frame(image, step, 0.0, now_s, "", source_id="front"), now_s)
        front = Frame(image, step, 0.0, now_s, "", source_id="front")
        presence.shown(Result(front, "ok", "", 0.25, None, "statistical"), now_s)
        for frame, reason in presence.due(now_s + 0.01):
            said.append((frame.source_id, reason))
            presence.shown(Result(frame, "withheld", reason, 0.25, None, "none"), now_s)
    assert set(said) == {("rear", "no frame")}
    assert 2 <= len(said) <= 3, "once a second"
