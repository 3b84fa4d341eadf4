"""Several cameras through one model: what is said of one is not said of another."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from lipdeploy.runtime.outages import Outages
from lipdeploy.runtime.result import Result
from lipdeploy.runtime.session import open_session
from lipdeploy.runtime.sources import open_sources
from lipdeploy.runtime.sources.frame import Frame
from lipdeploy.runtime.stream import Stream, StreamOptions
from lipdeploy.runtime.web.page_status import page_status
from lipdeploy.runtime.wording import Wording
from tests.runtime.page_feed import Context

SCENE = "test://scene?seed={}&duration=1s&size=64x48&fps=10"


def seen(camera: str, at_s: float, reason: str = "") -> Result:
    frame = Frame(np.zeros((4, 4, 3), np.uint8), 0, at_s * 1e3, at_s, "0", source_id=camera)
    return Result(frame, "withheld" if reason else "ok", reason, 0.25, None, "proved")


def test_nothing_is_missing_of_two_whole_files(model_path: Path, recorder: Any) -> None:
    sink = recorder()
    source = open_sources([f"front={SCENE.format(1)}", f"rear={SCENE.format(2)}&fault=drop@0.5s"])
    with open_session(model_path) as session:
        report = Stream(session, source, [sink], StreamOptions()).run()
    assert (report.frames_in, report.shown, report.dropped) == (17, 17, 0)
    assert report.missing == 2, "of 0.5, 0.6, ... 0.9 s the odd ones, the last not noticed"


def test_a_camera_that_stays_black_is_one_outage_beside_a_good_one() -> None:
    outages = Outages(live=True)
    for step in range(10):
        outages.add(seen("front", step), step + 0.25)
        outages.add(seen("rear", step, "black"), step + 0.25)
    during = outages.report()
    assert (during.count, during.total_s, during.open) == (1, 9.0, True)
    assert during.recovery_s is None
    outages.add(seen("rear", 10), 10.25)
    after = outages.report()
    assert (after.count, after.total_s, after.longest_s, after.open) == (1, 10.25, 10.25, False)
    assert after.recovery_s == pytest.approx(1.25)


def test_silence_before_any_camera_is_ended_by_the_first() -> None:
    outages = Outages(live=True)
    silence = seen("", 1.0, "no frame")
    silence.placeholder = True
    outages.add(silence, 1.0)
    outages.add(seen("front", 2.0), 2.0)
    assert (outages.report().count, outages.report().open) == (1, False)


def test_the_picture_and_the_page_name_the_camera(tiny: ModuleType) -> None:
    wording = Wording(tiny.tiny_manifest(), 0.9, "regions")
    assert wording.headline(seen("rear", 0.0)).startswith("rear: certified-stable (statistical)")
    assert wording.headline(seen("", 0.0)).startswith("certified-stable (statistical)")
    assert page_status(Context(), seen("rear", 0.0), 0.0, 1.0)["source"] == "rear"
    assert page_status(Context(), seen("", 0.0), 0.0, 1.0)["source"] is None
