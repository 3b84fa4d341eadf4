"""A short soak: descriptors and threads stay flat; memory needs the long run of the benchmark."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import cv2

from lipdeploy.runtime.sinks.video import video_sink

SOAK = Path(__file__).resolve().parents[2] / "benchmarks" / "soak.py"


def test_descriptors_and_threads_are_flat(model_path: Path, tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("soak_benchmark", SOAK)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    found = module.soak(3000, model_path, video_sink(tmp_path / "soak.mkv", 100.0))
    assert found.frames == 3000
    assert found.flat, found
    assert found.polls > 0
    recorded = cv2.VideoCapture(str(tmp_path / "soak.mkv"))
    assert recorded.read()[0]
