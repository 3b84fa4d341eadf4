"""The stream as a whole: order, counts, newest frame, failures, stopping, withheld frames."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from lipdeploy.core.errors import InputError, LipdeployError, SourceLostError, VerificationError
from lipdeploy.runtime.report import StreamReport
from lipdeploy.runtime.session import open_session
from lipdeploy.runtime.sinks import SinkContext, open_sinks
from lipdeploy.runtime.sources import Frame, open_source
from lipdeploy.runtime.stream import Stream, StreamOptions

Make = Callable[..., Path]
SCENE = "test://scene?seed=3&duration=1s&size=64x48&fps=20"


def stream(model: Path, address: str, sinks: list[Any], **options: Any) -> StreamReport:
    with open_session(model) as session:
        return Stream(session, open_source(address), sinks, StreamOptions(**options)).run()


def test_every_frame_of_a_file_in_order_even_with_a_slow_sink(
    model_path: Path, make_video: Make, recorder: Any
) -> None:
    sink = recorder(wait_s=0.01)
    report = stream(model_path, str(make_video("a.avi", 40)), [sink])
    assert [r.frame.index for r in sink.results] == list(range(40))
    assert (report.frames_in, report.shown, report.dropped, report.missing) == (40, 40, 0, 0)
    assert sink.closed == 1


def test_figures_equal_the_model_run_by_hand(model_path: Path, recorder: Any) -> None:
    sink = recorder()
    report = stream(model_path, SCENE, [sink], eps=0.05)
    shares = []
    with open_session(model_path) as session:
        for frame, result in zip(open_source(SCENE), sink.results, strict=True):
            prediction = session.infer(frame.image, [0.05])
            assert np.array_equal(result.prediction.mask, prediction.mask)
            assert result.flips == prediction.flips[0]
            assert result.eps_source == 0.05, "the frame has the network's size"
            shares.append(1 - prediction.flips[0] / prediction.mask.size)
    assert report.certified_share == pytest.approx(np.mean(shares))
    assert report.eps_source == 0.05
    assert set(report.stage_ms) == {"capture", "preprocess", "inference", "certify", "overlay"}
    latency = report.latency_ms
    assert 0 < latency["p50"] <= latency["p95"] <= latency["p99"] <= latency["max"]
    json.dumps(report.to_json(), allow_nan=False)


def test_resized_frames_claim_nothing_at_the_source(model_path: Path, recorder: Any) -> None:
    sink = recorder()
    report = stream(model_path, SCENE.replace("64x48", "128x96"), [sink], max_frames=2)
    assert report.eps_source is None
    assert "rounded to 8 bits" in report.eps_source_reason
    assert all(r.eps_source is None and r.certified_share is not None for r in sink.results)


def test_one_resized_frame_spoils_the_run(model_path: Path, recorder: Any) -> None:
    report = stream(model_path, SCENE + "&fault=resize@0.5s-0.6s", [recorder()])
    assert report.eps_source is None
    assert report.shown == 20


class FastCamera:
    """A hundred frames, one each 5 ms, whoever takes them."""

    live, still, fps = True, False, 200.0

    def describe(self) -> str:
        return "camera y"

    def __iter__(self) -> Iterator[Frame]:
        for index in range(100):
            image = np.full((48, 64, 3), 50 + index, np.uint8)
            yield Frame(image, index, index * 5.0, time.monotonic(), str(index))
            time.sleep(0.005)

    def close(self) -> None:
        """Nothing is open."""


def test_live_counts_what_it_drops_and_where(model_path: Path, recorder: Any) -> None:
    sink = recorder(wait_s=0.1)
    with open_session(model_path) as session:
        report = Stream(session, FastCamera(), [sink], StreamOptions(max_staleness_s=60)).run()
    indices = [r.frame.index for r in sink.results]
    assert indices == sorted(indices)
    assert len(indices) < 60
    assert indices[-1] == 99, "the newest frame arrives"
    assert report.frames_in == 100
    assert report.dropped == 100 - report.shown == sum(report.dropped_at.values())
    assert report.sinks[0].written == len(indices)
    assert report.sinks[0].written + report.sinks[0].dropped == report.shown


def test_stale_live_frames_are_withheld(model_path: Path, recorder: Any) -> None:
    """The frame that the source holds back for 1 s is older than the budget of 0.5 s."""
    sink = recorder()
    address = "test://scene?duration=400ms&size=64x48&fps=10&fault=slow@0.2s-0.3s&live=1"
    report = stream(model_path, address, [sink])
    shown = [r for r in sink.results if not r.placeholder]
    stale = [r for r in shown if r.reason == "stale"]
    assert all(r.reason == "stale" for r in shown if r.frame.index == 2)
    assert all(r.age_ms > 500 for r in stale)
    for result in stale:
        line = result.to_json(("a", "b", "c"))
        assert (result.state, result.flips, result.certified_share) == ("withheld", None, None)
        assert (line["regions"], line["age_ms"] > 500) == ([], True)
    assert report.stale == len(stale)


@pytest.mark.parametrize(
    ("fault", "reason", "count"),
    [("freeze", "frozen", 10), ("black", "black", 10), ("corrupt", "corrupt", 10)],
)
def test_bad_frames_are_withheld(
    model_path: Path, recorder: Any, fault: str, reason: str, count: int
) -> None:
    sink = recorder(wants_overlay=True)
    report = stream(model_path, f"{SCENE}&fault={fault}@0.5s", [sink])
    assert report.withheld == {reason: count}
    for result in sink.results:
        withheld = result.frame.index >= 20 - count
        assert (result.state == "withheld") == withheld
        assert (result.certified_share is None) == withheld
        assert (result.regions is None) == withheld
        assert result.overlay is not None


def test_lost_frames_of_the_source_are_counted(model_path: Path, recorder: Any) -> None:
    report = stream(model_path, SCENE + "&fault=drop@0.5s", [recorder()])
    assert (report.frames_in, report.missing, report.dropped) == (15, 4, 0)


def test_disconnect_keeps_what_was_recorded(model_path: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    sinks = open_sinks((str(target), f"jsonl:{tmp_path / 'x'}"), SinkContext(20.0, ("a", "b", "c")))
    with pytest.raises(SourceLostError, match="after 10 frames"):
        stream(model_path, SCENE + "&fault=disconnect@0.5s", sinks)
    assert cv2.VideoCapture(str(target)).get(cv2.CAP_PROP_FRAME_COUNT) == 10
    assert len((tmp_path / "x").read_text().splitlines()) == 10


def test_report_after_a_failure(model_path: Path, recorder: Any) -> None:
    with open_session(model_path) as session:
        source = open_source(SCENE + "&fault=disconnect@0.5s")
        run = Stream(session, source, [recorder()], StreamOptions())
        with pytest.raises(SourceLostError):
            run.run()
        assert (run.report.frames_in, run.report.shown) == (10, 10)


def test_failing_sink_ends_the_run_and_the_others_are_closed(
    model_path: Path, recorder: Any
) -> None:
    bad, good = recorder(fails_at=3), recorder()
    with pytest.raises(LipdeployError, match="the disk is full"):
        stream(model_path, SCENE.replace("1s", "60s"), [bad, good])
    assert bad.closed == good.closed == 1
    assert len(bad.results) == 3
    assert 4 <= len(good.results) < 40
    assert [r.frame.index for r in good.results] == list(range(len(good.results)))


def test_max_frames(model_path: Path, recorder: Any) -> None:
    for extra in ("", "&live=1"):
        sink = recorder()
        assert stream(model_path, SCENE + extra, [sink], max_frames=5).shown == 5
        assert len([r for r in sink.results if not r.placeholder]) == 5


def test_stop_drains(model_path: Path, recorder: Any) -> None:
    sink = recorder()
    with open_session(model_path) as session:
        source = open_source("test://scene?duration=1000s&size=64x48&live=1")
        run = Stream(session, source, [sink], StreamOptions())
        threading.Timer(0.5, run.stop).start()
        report = run.run()
        source.close()
    shown = [r for r in sink.results if not r.placeholder]
    assert report.shown == len(shown) > 0
    assert sink.closed == 1


class SilentSource:
    """A camera that delivers one frame and then hangs."""

    live, still, fps = True, False, 10.0

    def __init__(self) -> None:
        self.released = threading.Event()

    def describe(self) -> str:
        return "camera x"

    def __iter__(self) -> Iterator[Frame]:
        image = np.full((48, 64, 3), 90, np.uint8)
        yield Frame(image, 0, 0.0, time.monotonic(), "0")
        self.released.wait(20)

    def close(self) -> None:
        self.released.set()


def test_a_camera_that_hangs_is_lost(model_path: Path, recorder: Any) -> None:
    source, sink = SilentSource(), recorder()
    with open_session(model_path) as session:
        run = Stream(session, source, [sink], StreamOptions(stall_s=0.3))
        with pytest.raises(SourceLostError, match="delivered no frame"):
            run.run()
    source.close()
    assert len([r for r in sink.results if not r.placeholder]) == 1
    assert sink.closed == 1


def test_unverified_model_is_refused_and_claims_nothing(make_model: Make, recorder: Any) -> None:
    path, sink = make_model(level="none"), recorder(wants_overlay=True)
    with pytest.raises(VerificationError, match="--unverified"):
        stream(path, SCENE, [sink])
    report = stream(path, SCENE, [sink], unverified=True, max_frames=3)
    assert report.certified_share is None
    for result in sink.results:
        line = result.to_json(("a", "b", "c"))
        assert (line["certified_share"], line["flips"], line["eps_source"]) == (None, None, None)
        assert (line["state"], line["reason"], line["regions"]) == ("ok", "not verified", [])


@pytest.mark.parametrize(
    "options",
    [{"eps": -1.0}, {"eps": float("nan")}, {"keep": 0.0}, {"keep": 1.1}, {"keep": float("nan")},
     {"max_frames": 0}, {"max_staleness_s": 0.0}, {"max_staleness_s": float("nan")},
     {"max_staleness_s": float("inf")}],
)  # fmt: skip
def test_options_out_of_range(model_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="expected"):
        stream(model_path, SCENE, [], **options)


def test_folder_of_sizes(model_path: Path, tmp_path: Path, recorder: Any) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    for i, size in enumerate([(48, 64, 3), (20, 300, 3), (500, 4, 3), (1, 1, 3)]):
        cv2.imwrite(str(folder / f"{i}.png"), np.full(size, 120, np.uint8))
    sink = recorder(wants_overlay=True)
    assert stream(model_path, str(folder), [sink]).shown == 4


def test_several_budgets_in_the_model(make_model: Make, recorder: Any) -> None:
    assert stream(make_model(budgets=3), SCENE, [recorder()], max_frames=2).shown == 2
