"""`calibrate --level bounded`: files whose rounding is bounded, and what is refused instead."""

import re
from pathlib import Path

import pytest

from lipdeploy.cli import main
from lipdeploy.core.radius import margin_from_logits, radius_from_margin
from lipdeploy.export.verifier.graph import Graph, load_model
from lipdeploy.export.verifier.lipschitz import graph_bound
from lipdeploy.export.verifier.replay import Replay
from lipdeploy.export.verifier.rounding import level
from lipdeploy.export.verifier.rounding.bound import Rounding
from lipdeploy.runtime.model_file import read_model
from lipdeploy.runtime.onnxruntime_session import ENGINE
from lipdeploy.runtime.session import open_session
from tests.calibration.small_network import frame


def calibrated(source: Path, data: Path, target: Path, *options: str) -> int:
    command = ["calibrate", str(source), str(target), "--data", str(data), "--frames", "16"]
    return main([*command, "--level", "bounded", *options])


@pytest.mark.parametrize("precision", ["float32", "int16"])
def test_a_file_carries_the_level(
    precision: str,
    source_path: Path,
    data_path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # the margins of an untrained network are small; how much must be left is another question
    monkeypatch.setattr(level, "LEAST_USABLE_SHARE", 0.0)
    path = tmp_path / "m.onnx"
    assert calibrated(source_path, data_path, path, "--precision", precision) == 0
    assert f"{precision}: bounded, holds for what executes" in capsys.readouterr().out
    file, graph = read_model(path), Graph(load_model(path))
    numerics, replay = file.manifest.numerics, Replay(graph)
    assert (numerics.precision, numerics.level) == (precision, "bounded")
    assert numerics.slack >= Rounding(graph).of_model().slack
    assert list(numerics.evidence["engines"]) == [ENGINE]
    assert numerics.evidence["largest_error"] < numerics.slack
    lipschitz = graph_bound(graph).lipschitz
    with open_session(path, "onnxruntime", 1) as session:
        assert session.manifest.numerics.level == "bounded"
        for seed in range(4):
            image = frame(seed)
            exact = radius_from_margin(margin_from_logits(replay(image)), lipschitz)
            assert (session.infer(image, [0.0]).radius <= exact).all()


def test_a_bound_above_the_margins_is_refused_with_both(
    source_path: Path,
    data_path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(level, "LEAST_USABLE_SHARE", 1.0)
    path = tmp_path / "m.onnx"
    assert calibrated(source_path, data_path, path, "--precision", "int16") == 3
    err = capsys.readouterr().err
    assert re.search(
        r"vacuous here: 2 D = [0-9.e-]+ for any frame, the median margin is [0-9]", err
    )
    assert not path.exists()


@pytest.mark.parametrize("precision", ["fp16", "int8-weights", "int8"])
def test_other_precisions_have_no_bound(
    precision: str,
    source_path: Path,
    data_path: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "m"
    assert calibrated(source_path, data_path, path, "--precision", precision) == 2
    assert "level 'bounded' is of --precision float32 or int16" in capsys.readouterr().err
    assert not path.exists()


def test_an_engine_that_has_no_bound_is_refused(
    source_path: Path, data_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("openvino", reason="needs openvino")
    options = ["--precision", "int16", "--engine", "openvino"]
    assert calibrated(source_path, data_path, tmp_path / "m.onnx", *options) == 3
    assert "level 'bounded' is not known for openvino" in capsys.readouterr().err
