"""D covers every engine that was measured, and an engine that nobody measured fails nothing."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest

from lipdeploy.cli import main
from lipdeploy.core.errors import VerificationError
from lipdeploy.export import exporter
from lipdeploy.export.bare_graph import bare_graph
from lipdeploy.export.engine_parity import EngineMeter, measure_engines
from lipdeploy.export.verifier import execution
from lipdeploy.export.verifier.execution import Plan, check_execution
from lipdeploy.export.verifier.graph import Graph, model_from_bytes
from lipdeploy.export.verifier.parity import Frame, measure, synthetic_frames
from lipdeploy.export.verifier.record_file import keep_record
from lipdeploy.export.verifier.replay import Replay
from lipdeploy.export.verifier.verification import verify
from lipdeploy.runtime import measured_engines, onnxruntime_session, openvino_session
from lipdeploy.runtime.engine_session import EngineSession
from lipdeploy.runtime.model_file import ModelFile, model_file, read_model
from lipdeploy.runtime.session import Run, open_session
from tests.export.tiny_file import SLACK, tiny_file

BUNDLED = Path(exporter.__file__).parents[1] / "samples" / "scene_s.onnx"
WORSE = "worse 1.0 CPU"


def test_export_measures_every_engine_here(model_64: Path) -> None:
    numerics = read_model(model_64).manifest.numerics
    engines = numerics.evidence["engines"]
    assert set(engines) == {onnxruntime_session.ENGINE, openvino_session.ENGINE}
    for found in engines.values():
        assert (found["frames"], found["attacked_frames"]) == (24, 3)
        assert found["rounding_attacked_frames"] == 2  # 24 frames, one of 16
        assert 0 < slack_of(found) <= numerics.slack
    on = engines[numerics.evidence["engine"]]
    assert slack_of(on) == numerics.slack
    assert {k: numerics.evidence[k] for k in on} == on


def slack_of(found: Mapping[str, float]) -> float:
    """The rule, written out once more."""
    return max(2 * found["largest_error"], 8 * math.sqrt(2) * found["sigma"])


def off_by(error: float) -> Any:
    return lambda frame: np.stack([frame[..., 0] + error, frame[..., 1]]).astype(np.float64)


def test_the_meter_is_the_parity_of_one_engine() -> None:
    """An independent sum: `measure`, on the same frames."""
    frames = [(frame, k % 2 == 1) for k, frame in enumerate(synthetic_frames(6, 16, 20))]
    exact = off_by(0.0)
    meters = measure_engines({"a": off_by(0.25), "b": off_by(1.0)}, exact, frames, 0)
    for name, error in (("a", 0.25), ("b", 1.0)):
        assert meters[name].parity == measure(off_by(error), exact, frames)
    assert meters["b"].parity.slack > meters["a"].parity.slack


def test_the_attack_on_rounding_only_raises_the_error() -> None:
    first = np.array([1e-6, 0.0]).reshape(2, 1, 1)

    def engine(frame: Frame) -> npt.NDArray[np.float64]:
        moved: npt.NDArray[np.float64] = (
            off_by(0.0)(frame) + frame[5, 6].astype(float).sum() * first
        )
        return moved

    frame = np.full((40, 40, 3), 100, np.uint8)
    meter = EngineMeter(engine)
    meter.add(frame, off_by(0.0)(frame), False)
    before = meter.parity.largest
    meter.attack(off_by(0.0), 40)
    assert before == pytest.approx(300e-6)
    assert meter.parity.largest > before
    assert (meter.parity.frames, meter.attacked_rounding) == (1, 40)


def test_logits_that_are_no_numbers_need_an_infinite_slack() -> None:
    meter = EngineMeter(lambda frame: np.full((2, 4, 4), np.nan))
    meter.add(np.zeros((4, 4, 3), np.uint8), np.zeros((2, 4, 4)), False)
    assert meter.parity.slack == math.inf


# --- verify


def test_both_engines_hold_on_the_bundled_model() -> None:
    """The same bytes: radius never above float64, masks equal beyond 2 D, flips not below."""
    file = read_model(BUNDLED)
    rows = check_execution(file, Graph(model_from_bytes(file.data, "m")), Plan(2))
    assert {row.engine for row in rows} == {onnxruntime_session.ENGINE, openvino_session.ENGINE}
    assert all(row.covered and row.frames for row in rows)


def spoilt(run: Run, error: float) -> Run:
    def wrong(
        outputs: Sequence[str], feeds: Mapping[str, npt.NDArray[Any]]
    ) -> list[npt.NDArray[Any]]:
        found = run(outputs, feeds)
        if list(outputs) == ["logits"]:
            found[0] = found[0] + error * (np.arange(found[0].shape[1]) == 0).reshape(1, -1, 1, 1)
        return found

    return wrong


def other_engine(name: str, error: float) -> SimpleNamespace:
    """ONNX Runtime under another name, with a first logit that is off."""

    def open_graph(data: bytes, threads: int) -> Run:
        return spoilt(onnxruntime_session.open_graph(data, threads), error)

    def open_model(file: ModelFile, threads: int) -> EngineSession:
        run = onnxruntime_session.runner(onnxruntime_session.cpu_session(file.data, threads))
        return EngineSession(file, name, run)

    return SimpleNamespace(ENGINE=name, open_graph=open_graph, open_model=open_model)


@pytest.fixture
def with_a_worse_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second engine, whose first logit is off by 10 D."""
    worse = other_engine(WORSE, 10 * SLACK)
    named = {"onnxruntime": onnxruntime_session, "worse": worse}
    monkeypatch.setattr(execution, "available_engines", lambda: tuple(named))
    monkeypatch.setattr(execution, "engine_module", named.__getitem__)


def tiny() -> tuple[ModelFile, Graph]:
    data = tiny_file().SerializeToString()
    return model_file(data, "tiny.onnx"), Graph(model_from_bytes(data, "tiny.onnx"))


def test_an_engine_that_the_evidence_does_not_name_fails_nothing(
    with_a_worse_engine: None, tmp_path: Path
) -> None:
    file, graph = tiny()
    rows = check_execution(file, graph, Plan(2))
    last = rows[-1]
    assert (last.engine, last.kind, last.covered) == (WORSE, "no claim", False)
    path = tmp_path / "tiny.onnx"
    path.write_bytes(file.data)
    found = verify(path, 2)
    assert found.passed
    assert found.record is not None
    assert found.record.engines == (onnxruntime_session.ENGINE,)  # it vouches for no other
    assert found.record.frames == sum(r.frames for r in rows if r.engine != WORSE)


def test_it_fails_where_it_was_asked_for_or_is_named(with_a_worse_engine: None) -> None:
    file, graph = tiny()
    with pytest.raises(VerificationError, match="more than the slack"):
        check_execution(file, graph, Plan(2, (), ("worse",)))
    evidence = {**file.manifest.numerics.evidence, "engines": {WORSE: {}}}
    numerics = dataclasses.replace(file.manifest.numerics, evidence=evidence)
    named = dataclasses.replace(file.manifest, numerics=numerics)
    with pytest.raises(VerificationError, match="more than the slack"):
        check_execution(dataclasses.replace(file, manifest=named), graph, Plan(2))


def test_a_file_for_engines_that_are_not_here_is_no_bad_file(
    with_a_worse_engine: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It keeps the record of the machine that has them."""
    path = tmp_path / "tiny.onnx"
    path.write_bytes(tiny_file().SerializeToString())
    keep_record(path, verify(path, 2))
    before = path.read_bytes()
    monkeypatch.setattr(execution, "available_engines", lambda: ("worse",))
    assert main(["verify", str(path), "--frames", "2"]) == 6
    assert "measured on onnxruntime 1 CPU, and no engine here keeps" in capsys.readouterr().err
    assert path.read_bytes() == before


def test_an_unnamed_engine_must_keep_to_sigma_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Errors of half of D everywhere: the largest fits, 8 sqrt(2) sigma does not."""
    off = other_engine("off 1.0 CPU", SLACK / 2)
    monkeypatch.setattr(execution, "engine_module", lambda name: off)
    with pytest.raises(VerificationError, match="sigma"):
        check_execution(*tiny(), Plan(2, (), ("off",)))


def test_a_long_verification_lets_another_engine_claim(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measured_engines, "RECORD_FRAMES", 60)  # 3000 take half a minute
    path = tmp_path / "tiny.onnx"
    path.write_bytes(tiny_file().SerializeToString())
    levels = []
    for frames, engines in ((19, ["openvino"]), (10, ["openvino"] * 5), (20, ["openvino"])):
        found = verify(path, frames, engines=engines, isolated=False)
        assert found.passed, found.failure
        keep_record(path, found)
        with open_session(path, "openvino", threads=1) as session:
            levels.append(session.manifest.numerics.level)
    assert levels == ["none", "none", "statistical"]  # the same frames again are no more frames
    with open_session(path) as session:
        assert session.manifest.numerics.level == "statistical"


# --- what the head costs


def test_the_bare_graph_gives_the_logits_of_the_file(model_64: Path) -> None:
    data = model_64.read_bytes()
    bare = bare_graph(data, "m")
    names = {node.name for node in onnx.load_model_from_string(bare).graph.node}
    assert names
    assert not any(name.startswith("head/") for name in names)
    replay = Replay(Graph(model_from_bytes(data, "m")))
    for frame in synthetic_frames(3, 64, 64):
        for module in (onnxruntime_session, openvino_session):
            (logits,) = module.open_graph(bare, 1)(["logits"], {"image": frame[None]})
            np.testing.assert_allclose(logits[0], replay(frame), atol=1e-5)


def test_a_graph_without_a_head_has_none_to_take_off(model_64: Path) -> None:
    with pytest.raises(VerificationError, match="no certification head"):
        bare_graph(bare_graph(model_64.read_bytes(), "m"), "m")
