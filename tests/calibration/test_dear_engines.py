"""An engine that would make the others pay is left out of D, unless it was asked for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from lipdeploy.calibration import calibrator
from lipdeploy.calibration.dear_engines import DEAR, NEGLIGIBLE, dear_engines
from lipdeploy.cli import main
from lipdeploy.export.engine_parity import EngineMeter, measure_engines
from lipdeploy.export.verifier import execution
from lipdeploy.runtime import onnxruntime_session
from lipdeploy.runtime.model_file import read_model
from tests.export.test_engine_parity import other_engine

WORSE = "worse 1.0 CPU"
EXACT = np.stack([np.ones((4, 4)), np.zeros((4, 4))])  # the largest logit is 1
ERROR = 0.05  # of the stand-in, in every pixel: far more than what INT8 costs on the small network


def meters(**errors: float) -> dict[str, EngineMeter]:
    """Engines whose first logit is off by so much in one pixel."""

    def engine(error: float) -> npt.NDArray[np.float64]:
        found = EXACT.copy()
        found[0, 0, 0] += error
        return found

    engines = {name: (lambda _, e=error: engine(e)) for name, error in errors.items()}
    return measure_engines(engines, lambda _: EXACT, [(np.zeros((4, 4, 3), np.uint8), True)], 0)


def test_four_times_the_best_is_left_out() -> None:
    found = dear_engines(meters(best=1e-3, near=0.99 * DEAR * 1e-3, far=1.01 * DEAR * 1e-3))
    assert list(found) == ["far"]
    assert found["far"] == pytest.approx(2 * 1.01 * DEAR * 1e-3)  # D: twice the largest error


def test_an_engine_that_costs_nothing_is_kept() -> None:
    """Float32 against float32: 10 times a D of 1e-7 is still nothing."""
    assert not dear_engines(meters(best=1e-7, far=0.4 * NEGLIGIBLE))


@pytest.mark.parametrize("only", [1e-3, float("nan")])
def test_the_best_engine_stays(only: float) -> None:
    assert not dear_engines(meters(only=only))


def test_an_engine_of_no_numbers_is_left_out() -> None:
    assert list(dear_engines(meters(best=1e-3, broken=float("nan")))) == ["broken"]


@pytest.fixture
def with_a_worse_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second engine beside ONNX Runtime, off by `ERROR` wherever it runs."""
    worse: Any = other_engine(WORSE, ERROR)
    named = {"onnxruntime": onnxruntime_session, "worse": worse}
    monkeypatch.setattr(calibrator, "CPU_ENGINES", tuple(named))
    for module in (calibrator, execution):
        monkeypatch.setattr(module, "available_engines", lambda: tuple(named))
        monkeypatch.setattr(module, "engine_module", named.__getitem__)


def calibrated(source: Path, data: Path, target: Path, *options: str) -> None:
    args = [str(source), str(target), "--precision", "int8", "--data", str(data), "--frames", "16"]
    assert main(["calibrate", *args, "--method", "minmax", *options]) == 0


def test_a_dear_engine_is_left_out_and_told(
    with_a_worse_engine: None,
    source_path: Path,
    data_path: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "int8.onnx"
    calibrated(source_path, data_path, path)
    numerics = read_model(path).manifest.numerics
    assert list(numerics.evidence["engines"]) == [onnxruntime_session.ENGINE]
    assert numerics.slack < 2 * ERROR / DEAR
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "left out" in line]
    assert line.startswith(f"  {WORSE}: left out, largest error ")
    assert "level none on it; --engine onnxruntime --engine worse includes it" in line


def test_a_dear_engine_that_was_named_is_covered(
    with_a_worse_engine: None,
    source_path: Path,
    data_path: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "int8.onnx"
    named = ("--engine", "onnxruntime", "--engine", "worse", "--json")
    calibrated(source_path, data_path, path, *named)
    numerics = read_model(path).manifest.numerics
    assert set(numerics.evidence["engines"]) == {onnxruntime_session.ENGINE, WORSE}
    assert numerics.evidence["engine"] == WORSE
    assert numerics.slack >= 2 * 0.9 * ERROR
    found = json.loads(capsys.readouterr().out)
    assert found["files"]["int8"]["left_out"] == {}
