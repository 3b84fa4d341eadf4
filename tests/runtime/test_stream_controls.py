"""The budget may change while frames pass, and what is said of each stays true."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lipdeploy.cli.stream_summary import summary
from lipdeploy.core.errors import InputError
from lipdeploy.runtime.controls import Controls
from lipdeploy.runtime.means import SharesByBudget
from lipdeploy.runtime.result import Result
from lipdeploy.runtime.session import open_session
from lipdeploy.runtime.sources import open_source
from lipdeploy.runtime.sources.frame import Frame
from lipdeploy.runtime.status import StatusLink, StreamStatus
from lipdeploy.runtime.stream import Stream, StreamOptions

SCENE = "test://scene?seed=3&duration=1s&size=64x48&fps=20"


def test_controls_refuse_what_is_no_budget() -> None:
    controls = Controls(0.25)
    for wrong in (float("nan"), -1.0, float("inf")):
        with pytest.raises(InputError, match="expected a finite number"):
            controls.set_eps(wrong)
    assert controls.eps == 0.25
    controls.set_eps(0.5)
    assert controls.eps == 0.5


def test_each_frame_is_judged_at_the_budget_it_carries(model_path: Path, recorder: Any) -> None:
    sink, controls, link = recorder(), Controls(0.02), StatusLink()
    assert link() == StreamStatus()
    with open_session(model_path) as session:
        infer, calls = session.infer, []

        def turning(image: Any, eps: Any) -> Any:
            calls.append(eps)
            controls.set_eps(0.02 if len(calls) < 8 else 0.3)
            return infer(image, eps)

        session.infer = turning  # type: ignore[method-assign]
        stream = Stream(session, open_source(SCENE), [sink], StreamOptions(), controls)
        link.bind(stream.status)
        report = stream.run()
    assert [r.eps for r in sink.results] == [0.02] * 8 + [0.3] * 12
    with open_session(model_path) as session:
        for frame, result in zip(open_source(SCENE), sink.results, strict=True):
            again = session.infer(frame.image, [result.eps])
            assert result.flips == again.flips[0], "of the same budget by hand"
            assert result.to_json(("a", "b", "c"))["eps"] == result.eps
    by_eps = {shares.eps: shares for shares in report.by_eps}
    for eps, frames in ((0.02, 8), (0.3, 12)):
        own = [r.certified_share for r in sink.results if r.eps == eps]
        assert by_eps[eps].frames == len(own) == frames
        assert by_eps[eps].certified_share == pytest.approx(np.mean(own))
    assert (report.eps, report.eps_changes) == (0.3, 1)
    assert report.certified_share == by_eps[0.3].certified_share
    assert "eps was changed 1 times" in summary(report)
    json.dumps(report.to_json(), allow_nan=False)
    status = link()
    newest = sink.results[-1]
    assert (status.frames_in, status.shown, status.eps, status.state) == (20, 20, 0.3, "ok")
    assert status.certified_share == newest.certified_share
    names = ("road", "vegetation", "sky")
    assert status.class_shares == {names[k]: v for k, v in newest.regions.class_share.items()}
    controls.set_eps(0.9)  # of no frame yet: what is told of the newest one keeps its budget
    assert (link().eps, link().certified_share) == (0.3, newest.certified_share)
    assert status.sinks[0].written == 20
    assert status.sources[0].status == "live"


def test_budgets_are_kept_up_to_a_bound() -> None:
    shares = SharesByBudget()
    frame = Frame(np.zeros((4, 4, 3), np.uint8), 0, 0.0, 0.0, "0")
    for step in range(1000):
        shares.add(Result(frame, "withheld", "black", step * 1e-3, None, "statistical"))
    assert len(shares.all()) == 32
    assert shares.changes == 999
    assert shares.newest is not None
    assert shares.newest.eps == 0.999
