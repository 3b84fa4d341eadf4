"""Films: times of frames, codecs, and what is left of them when they are cut short."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from lipdeploy.runtime.sinks import SinkContext, open_sink
from tests.runtime.stream_results import CONTEXT, result

LIVE = SinkContext(10.0, ("road", "sky"), live=True)
NAMES = ("out.mp4", "out.mkv")


def times_of(path: Path) -> list[float]:
    with av.open(str(path)) as film:
        return [round(float(frame.time or 0.0), 3) for frame in film.decode(video=0)]


@pytest.mark.parametrize("name", NAMES)
def test_a_dropped_frame_leaves_a_gap(tmp_path: Path, name: str) -> None:
    sink = open_sink(str(tmp_path / name), CONTEXT)
    for index in (0, 1, 2, 30, 31):
        sink.write(result(index))
    sink.close()
    assert times_of(tmp_path / name) == [0.0, 0.1, 0.2, 3.0, 3.1]


@pytest.mark.parametrize("name", NAMES)
def test_live_frames_are_timed_by_their_capture(tmp_path: Path, name: str) -> None:
    sink = open_sink(str(tmp_path / name), LIVE)
    captured_s = [500.0, 500.25, 500.25, 507.5]  # two cameras may capture at once
    for index, moment_s in enumerate(captured_s):
        sink.write(result(index, captured_s=moment_s))
    sink.close()
    times = times_of(tmp_path / name)
    assert times == pytest.approx([0.0, 0.25, 0.25, 7.5], abs=0.002)
    assert times == sorted(times)


@pytest.mark.parametrize("fps", [24000 / 1001, 25.0, 30000 / 1001, 60.0])
def test_rates_do_not_drift(tmp_path: Path, fps: float) -> None:
    sink = open_sink(str(tmp_path / "out.mp4"), SinkContext(fps, ()))
    for index in range(0, 90_000, 10_000):
        sink.write(result(index))
    sink.close()
    expected = [index / fps for index in range(0, 90_000, 10_000)]
    assert times_of(tmp_path / "out.mp4") == pytest.approx(expected, abs=0.001)


@pytest.mark.parametrize("name", NAMES)
def test_pieces_of_a_quarter_and_keyframes_of_one_second(tmp_path: Path, name: str) -> None:
    sink = open_sink(str(tmp_path / name), CONTEXT)
    for index in range(45):
        sink.write(result(index))
        if index >= 5:  # as a killed process leaves it
            cut = tmp_path / f"cut_{name}"
            cut.write_bytes((tmp_path / name).read_bytes())
            assert times_of(cut)[-1] >= index / 10 - 0.5
    sink.close()
    with av.open(str(tmp_path / name)) as film:
        keys = [float(frame.time or 0.0) for frame in film.decode(video=0) if frame.key_frame]
    assert np.diff(keys).max() <= 1.0


def test_the_codec_is_told_and_the_film_is_what_was_told(tmp_path: Path) -> None:
    sink = open_sink(str(tmp_path / "out.mp4"), CONTEXT)
    for index in range(3):
        sink.write(result(index))
    sink.close()
    with av.open(str(tmp_path / "out.mp4")) as film:
        name = film.streams.video[0].codec_context.name
        shown = next(film.decode(video=0)).to_ndarray(format="rgb24").mean((0, 1))
    assert sink.describe().endswith({"h264": "(H.264)", "mpeg4": "(MPEG-4)"}[name])
    assert shown == pytest.approx([200, 30, 30], abs=12)


def test_mpeg4_where_pyav_has_no_h264(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(av, "codecs_available", {"mpeg4"})
    sink = open_sink(str(tmp_path / "out.mp4"), SinkContext(30000 / 1001, ()))
    for index in range(40):
        sink.write(result(index))
    sink.close()
    assert sink.describe().endswith("(MPEG-4)")
    assert len(times_of(tmp_path / "out.mp4")) == 40


@pytest.mark.parametrize("name", NAMES)
def test_the_first_size_stays(tmp_path: Path, name: str) -> None:
    sink = open_sink(str(tmp_path / name), CONTEXT)
    for index, size in enumerate([(47, 63), (480, 640), (1, 1), (20, 900)]):
        sink.write(result(index, size))
    sink.close()
    with av.open(str(tmp_path / name)) as film:
        shapes = {(frame.height, frame.width) for frame in film.decode(video=0)}
    assert shapes == {(48, 64)}


def test_without_pyav_one_line_says_what_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "lipdeploy.runtime.sinks.film", None)
    with caplog.at_level(logging.WARNING):
        sink = open_sink(str(tmp_path / "out.mp4"), CONTEXT)
    for index in range(5):
        sink.write(result(index))
    sink.close()
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith("out.mp4 is MPEG-4, ")
    assert "pip install 'lipdeploy[record]'" in caplog.messages[0]
    assert len(caplog.messages[0]) < 140
    assert cv2.VideoCapture(str(tmp_path / "out.mp4")).get(cv2.CAP_PROP_FRAME_COUNT) == 5
