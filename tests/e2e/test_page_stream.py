"""The live page inside a real stream: what a visitor sets and sees is what the frames carry."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest

from lipdeploy.runtime.controls import Controls
from lipdeploy.runtime.report import StreamReport
from lipdeploy.runtime.session import open_session
from lipdeploy.runtime.sinks import SinkContext, open_sinks
from lipdeploy.runtime.sources import open_source
from lipdeploy.runtime.status import StatusLink
from lipdeploy.runtime.stream import Stream, StreamOptions
from lipdeploy.runtime.web import PageSink
from lipdeploy.samples import scene
from tests.runtime.page_visits import ask, eventually, set_eps

SEED, HEIGHT, WIDTH, FPS = 3, 48, 64, 10
BEFORE, AFTER = 0.02, 0.3


@dataclass
class Running:
    """A stream with a page and a log."""

    page: PageSink
    stream: Stream
    log: Path
    report: StreamReport | None = None

    def lines(self) -> list[dict[str, object]]:
        """What the log holds of real frames."""
        lines = [json.loads(line) for line in self.log.read_text().splitlines()]
        return [line for line in lines if line["index"] is not None]

    def status(self) -> dict[str, object]:
        """What the page says."""
        said: dict[str, object] = json.loads(ask(self.page, "/api/status")[2])
        return said


Begin = Callable[[str], Running]


@pytest.fixture
def begin(model_path: Path, tiny: ModuleType, tmp_path: Path) -> Iterator[Begin]:
    """Streams a live scene until the test is over; old frames count as fresh, for slow machines."""
    running: list[tuple[Running, threading.Thread]] = []

    def start(fault: str) -> Running:
        address = f"test://scene?seed={SEED}&duration=60s&size={WIDTH}x{HEIGHT}&fps={FPS}&live=1"
        source, log = open_source(address + fault), tmp_path / "log.jsonl"
        session, controls, link = open_session(model_path), Controls(BEFORE), StatusLink()
        context = SinkContext(source.fps, tiny.CLASSES, link, controls, live=True)
        sinks = open_sinks(("http://127.0.0.1:0", f"jsonl:{log}"), context)
        assert isinstance(sinks[0], PageSink)
        options = StreamOptions(eps=BEFORE, max_staleness_s=60.0)
        stream = Stream(session, source, sinks, options, controls)
        link.bind(stream.status)
        made = Running(sinks[0], stream, log)

        def run() -> None:
            with session:
                made.report = stream.run()
            source.close()

        thread = threading.Thread(target=run)
        thread.start()
        running.append((made, thread))
        return made

    yield start
    for made, thread in running:
        made.stream.stop()
        thread.join(60)
        assert made.report is not None


def test_eps_of_the_page_is_the_budget_of_later_frames(
    begin: Begin, model_path: Path, tiny: ModuleType
) -> None:
    running = begin("")
    assert eventually(lambda: len(running.lines()) >= 3)
    assert set_eps(running.page, json.dumps({"eps": AFTER})) == 200
    already = len(running.lines())
    assert eventually(lambda: sum(line["eps"] == AFTER for line in running.lines()) >= 3)
    assert eventually(lambda: running.status()["eps"] == AFTER)
    assert running.status()["eps_set"] == AFTER
    lines = running.lines()
    budgets = [line["eps"] for line in lines]
    turn = budgets.index(AFTER)
    assert budgets == [BEFORE] * turn + [AFTER] * (len(lines) - turn)
    assert 3 <= turn <= already + 4, "at most the frames that were under way"
    with open_session(model_path) as session:  # the same scene by hand, at each line's budget
        for line in lines:
            assert isinstance(line["index"], int)
            image = scene.render(SEED, line["index"] / FPS, HEIGHT, WIDTH).image
            assert line["flips"] == session.infer(image, [float(str(line["eps"]))]).flips[0]
    assert lines[0]["flips"] != lines[-1]["flips"], "or the check sees nothing"


def test_the_picture_is_the_overlay_and_its_state_the_frames(begin: Begin) -> None:
    running = begin("&fault=freeze@1s")
    picture = decoded(picture_of(running, "ok")[1])
    assert min(picture.shape[:2]) == 480, "the overlay, enlarged to be read"
    assert np.ptp(picture.astype(int), axis=2).max() > 60, "in colours"
    fields, jpeg = picture_of(running, "withheld")
    assert fields["X-Reason"] == "frozen"
    grey = decoded(jpeg).astype(int)
    below = grey[grey.shape[0] * 3 // 4 :]  # the banner in the middle is red
    assert np.ptp(below, axis=2).max() <= 8, "nothing is coloured as stable"
    assert eventually(lambda: running.status()["state"] == "withheld")
    said = running.status()
    assert (said["certified_share"], said["certified_percent"], said["classes"]) == (None, None, [])
    assert all(line["flips"] is None for line in running.lines() if line["reason"] == "frozen")


def test_the_page_goes_with_the_stream(begin: Begin) -> None:
    running = begin("")
    assert eventually(lambda: len(running.lines()) >= 1)
    running.stream.stop()
    assert eventually(lambda: running.report is not None)
    with pytest.raises(OSError, match="refused"):
        ask(running.page, "/healthz")
    report = running.report
    assert report is not None
    assert report.frames_in == report.shown + report.dropped
    assert [sink.error for sink in report.sinks] == ["", ""]


def picture_of(running: Running, state: str) -> tuple[dict[str, str], bytes]:
    """The first new picture in a state."""
    for _ in range(400):
        _, fields, jpeg = ask(running.page, "/frame.jpg")
        if fields.get("X-State") == state and not fields["X-Picture"].endswith("-old"):
            return fields, jpeg
        time.sleep(0.025)
    raise AssertionError(state)


def decoded(jpeg: bytes) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """RGB."""
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    return np.asarray(picture[..., ::-1], np.uint8)
