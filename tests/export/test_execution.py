"""Engines against float64: wrong ones are found, and the attack beats random frames."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from lipdeploy.core.errors import VerificationError
from lipdeploy.export.head import HeadSpec
from lipdeploy.export.verifier import execution
from lipdeploy.export.verifier.execution import Plan, check_execution
from lipdeploy.export.verifier.graph import Graph, model_from_bytes
from lipdeploy.export.verifier.head_trial import check_head_run, head_model, trial_logits
from lipdeploy.export.verifier.rounding_attack import climb
from lipdeploy.runtime.model_file import read_model
from lipdeploy.runtime.onnxruntime_session import open_graph
from lipdeploy.runtime.session import Run

SPEC = HeadSpec("threshold", 3, 12, 20, 2, 1.1, 1e-6)


@pytest.mark.parametrize("kind", ["threshold", "sort"])
@pytest.mark.parametrize("classes", [2, 5])
def test_the_head_alone_holds_on_hard_logits(kind: str, classes: int) -> None:
    spec = HeadSpec(kind, classes, 12, 20, 2, 1.1, 1e-6)
    assert check_head_run(open_graph(head_model(spec), 0), spec) == len(trial_logits(spec))


def spoilt(run: Run, output: str, change: float) -> Run:
    """An engine whose one output is off."""

    def wrong(
        outputs: Sequence[str], feeds: Mapping[str, npt.NDArray[Any]]
    ) -> list[npt.NDArray[Any]]:
        found = dict(zip(outputs, run(outputs, feeds), strict=True))
        found[output] = (found[output] * change).astype(found[output].dtype)
        return list(found.values())

    return wrong


@pytest.mark.parametrize(
    ("output", "change", "message"),
    [("radius", 1.001, "exceeds"), ("flips", 0.9, "too few flips"), ("mask", 0, "another mask")],
)
def test_an_engine_that_computes_the_head_wrongly_is_found(
    output: str, change: float, message: str
) -> None:
    run = open_graph(head_model(SPEC), 0)
    with pytest.raises(VerificationError, match=message):
        check_head_run(spoilt(run, output, change), SPEC)


def test_the_climb_finds_the_pixel_that_random_frames_miss() -> None:
    """The error grows with the brightness of one pixel."""

    def error(frame: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
        found = np.zeros(frame.shape[:2])
        found[5, 6] = frame[5, 6].astype(float).sum()
        return found

    start = np.full((40, 40, 3), 100, np.uint8)
    frame, worst = climb(start, error, 60, seed=1)
    again, _ = climb(start, error, 60, seed=1)
    assert worst == error(frame).max() > 450
    assert np.array_equal(frame, again)


def test_every_kind_of_frame_beyond_the_slack_fails(
    model_64: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = read_model(model_64)
    graph = Graph(model_from_bytes(file.data, "m"))
    images = [np.full((64, 64, 3), 9, np.uint8)]
    rows = check_execution(file, graph, Plan(2, images, ("onnxruntime",)))
    assert [(r.kind, r.frames) for r in rows] == [
        ("synthetic", 2),
        ("calibration", 1),
        ("attacked", 4),
    ]
    assert rows[2].largest >= max(r.largest for r in rows[:2]) > 0
    numerics = dataclasses.replace(file.manifest.numerics, level="statistical")
    claims = dataclasses.replace(file.manifest, numerics=numerics)
    claiming = dataclasses.replace(file, manifest=claims)
    original = execution._Trial.compare
    for call, kind in enumerate(("synthetic", "calibration", "attacked")):
        errors = iter([0.0] * call + [1.0])
        monkeypatch.setattr(
            execution._Trial,
            "compare",
            lambda trial, frame, errors=errors: original(trial, frame) * 0 + next(errors),
        )
        with pytest.raises(VerificationError, match=f"{kind} frames, more than the slack"):
            check_execution(claiming, graph, Plan(1, images))
