"""A short soak: descriptors and threads stay flat; memory needs the long run of the benchmark."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType

import cv2

from lipdeploy.runtime.result import Result
from lipdeploy.runtime.sinks.null import NullSink
from lipdeploy.runtime.sinks.video import video_sink


def test_descriptors_and_threads_are_flat(
    load_benchmark: Callable[[str], ModuleType], model_path: Path, tmp_path: Path
) -> None:
    found = load_benchmark("soak").soak(3000, model_path, video_sink(tmp_path / "soak.mkv", 100.0))
    assert found.frames == 3000
    assert found.flat, found
    assert found.polls > 0
    recorded = cv2.VideoCapture(str(tmp_path / "soak.mkv"))
    assert recorded.read()[0]


class Leaking(NullSink):
    """Opens a file every 400 frames and forgets it."""

    def __init__(self, file: Path, kept: ExitStack) -> None:
        self._file, self._kept = file, kept

    def write(self, result: Result) -> None:
        if result.frame.index % 400 == 399:
            self._kept.enter_context(self._file.open("rb"))


def test_a_leak_of_descriptors_is_seen(
    load_benchmark: Callable[[str], ModuleType], model_path: Path
) -> None:
    with ExitStack() as kept:
        assert not load_benchmark("soak").soak(2000, model_path, Leaking(model_path, kept)).flat
