"""The drift alarm: skips while busy, never waits, and ends every claim."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lipdeploy.core.errors import InputError
from lipdeploy.runtime.drift import DriftMonitor, DriftReport
from lipdeploy.runtime.session import Prediction, open_session
from lipdeploy.runtime.sources import open_source
from lipdeploy.runtime.stream import Stream, StreamOptions
from tests.runtime.conftest import Recorder

IMAGE = np.zeros((4, 4, 3), np.uint8)
NOTHING = Prediction(
    np.zeros((4, 4), np.uint8), np.zeros((4, 4), np.float32), np.zeros(1, np.float32)
)
SCENE = "test://scene?seed=3&duration=1s&size=64x48&fps=20"


def test_every_third_frame_is_checked_from_the_first() -> None:
    seen: list[int] = []
    done = threading.Semaphore(0)

    def check(image: np.ndarray, _: Prediction) -> str:
        seen.append(int(image[0, 0, 0]))
        done.release()
        return ""

    monitor = DriftMonitor(check, 3, pytest.fail)
    for index in range(8):
        monitor.offer(index, np.full((4, 4, 3), index, np.uint8), NOTHING)
        if index % 3 == 0:
            assert done.acquire(timeout=10)
            monitor.finish(10)
    assert seen == [0, 3, 6]
    assert monitor.report == DriftReport(every=3, checked=3)
    assert monitor.reason == ""


def test_a_check_that_takes_for_ever_stalls_nothing() -> None:
    """Frames that fall due meanwhile are skipped and counted."""
    free = threading.Event()
    monitor = DriftMonitor(lambda *_: "" if free.wait(30) else "late", 2, pytest.fail)
    for index in range(9):
        monitor.offer(index, IMAGE, NOTHING)  # would hang here, were it to wait
    assert monitor.report == DriftReport(every=2, skipped=4)
    monitor.finish(0.0)  # nor does the end wait longer than it is told
    assert monitor.report.checked == 0
    free.set()
    monitor.finish(10)
    assert monitor.report == DriftReport(every=2, checked=1, skipped=4)


def test_the_first_alarm_is_told_once_and_stays() -> None:
    lines: list[str] = []
    answers = iter(["", "3 pixels claim too much", "4 pixels claim too much", ""])
    monitor = DriftMonitor(lambda *_: next(answers), 1, lines.append)
    for index in range(4):
        monitor.offer(index, IMAGE, NOTHING)
        monitor.finish(10)
    assert monitor.reason == "drift"
    report = monitor.report
    assert (report.checked, report.alarms, report.first) == (4, 2, "3 pixels claim too much")
    assert len(lines) == 1
    assert lines[0].startswith("WARNING: drift at frame 1: 3 pixels claim too much; nothing more")
    assert "\n" not in lines[0]


def test_a_check_that_fails_is_told_and_is_no_verdict() -> None:
    lines: list[str] = []

    def broken(*_: object) -> str:
        raise MemoryError("no room")

    monitor = DriftMonitor(broken, 1, lines.append)
    for index in range(2):
        monitor.offer(index, IMAGE, NOTHING)
        monitor.finish(10)
    assert monitor.report == DriftReport(every=1, failed=2)
    assert monitor.reason == ""
    assert lines == ["WARNING: frame 0 could not be audited (MemoryError: no room)"]


def test_every_must_be_positive() -> None:
    with pytest.raises(InputError, match="audit every is 0; expected 1 or more"):
        DriftMonitor(lambda *_: "", 0, pytest.fail)


def streamed(
    model: Path, check: Callable[[np.ndarray, Prediction], str], every: int
) -> tuple[Recorder, Stream]:
    recorder = Recorder()
    monitor = DriftMonitor(check, every, lambda _: None)
    with open_session(model) as session:
        source = open_source(SCENE)
        stream = Stream(session, source, [recorder], StreamOptions(), drift=monitor)
        stream.run()
        source.close()
    return recorder, stream


def test_after_an_alarm_every_frame_is_withheld(model_path: Path) -> None:
    """The check answers at once, so that only frames already under way may still claim."""
    recorder, stream = streamed(model_path, lambda *_: "wrong", 1)
    states = [(result.state, result.reason) for result in recorder.results]
    first = states.index(("withheld", "drift"))
    assert first <= 6
    assert set(states[first:]) == {("withheld", "drift")}
    late = recorder.results[-1]
    assert late.prediction is None
    assert not late.claims
    assert stream.report.withheld == {"drift": len(states) - first}
    assert stream.report.drift.alarms >= 1
    assert stream.status().drift == stream.report.drift
    assert stream.status().reason == "drift"


def test_without_drift_nothing_changes(model_path: Path) -> None:
    predictions: list[np.ndarray] = []

    def check(image: np.ndarray, prediction: Prediction) -> str:
        assert image.shape == (48, 64, 3)
        predictions.append(prediction.radius)
        return ""

    recorder, stream = streamed(model_path, check, 5)
    assert {result.state for result in recorder.results} == {"ok"}
    drift = stream.report.drift
    assert drift.checked + drift.skipped == 4  # of 20 frames
    assert drift.checked == len(predictions) >= 1
    assert stream.report.to_json()["drift"]["every"] == 5
