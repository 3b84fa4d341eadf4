"""`lipdeploy bench`: what it measures, also where there is no onnx, and what it refuses."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from lipdeploy.cli import main
from lipdeploy.cli.bench_table import table
from lipdeploy.cli.stream import BUNDLED_MODEL, bundled
from lipdeploy.runtime.bench import BenchOptions, BenchReport, EngineFigures, bench
from lipdeploy.runtime.bench_timing import Times, in_turns

NO_ONNX = """
import importlib.abc, sys
class Blocker(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"onnx", "torch"}:
            raise ModuleNotFoundError(f"{name} is blocked", name=name)
sys.meta_path.insert(0, Blocker())
from lipdeploy.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def model_path(tiny: ModuleType, tmp_path: Path) -> Path:
    path: Path = tiny.save_tiny(tmp_path / "tiny.onnx", tiny.tiny_manifest())
    return path


def test_engines_stages_and_head_side_by_side(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "bench.json"
    model = str(bundled(BUNDLED_MODEL))
    assert main(["bench", model, "--frames", "3", "--threads", "1", "--json", str(target)]) == 0
    out = capsys.readouterr().out
    found = json.loads(target.read_text())
    assert set(found["engines"]) == {"onnxruntime", "openvino"}
    for each in found["engines"].values():
        assert each["engine"] in out
        assert each["load_ms"] > 0
        assert {"preprocess", "inference", "overlay"} <= set(each["stages_ms"])
        for part in ("model", "bare"):
            assert len(each[part]["ms"]) == len(each[part]["cpu_ms"]) == 3
            assert each[part]["median_ms"] == statistics.median(each[part]["ms"]) > 0
        ratio = each["model"]["median_ms"] / each["bare"]["median_ms"]
        assert each["head_share"] == pytest.approx(ratio - 1)
    assert found["machine"]["cores"] >= 1


def test_an_engine_that_was_not_measured_claims_nothing(
    model_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The tiny file names ONNX Runtime alone."""
    target = tmp_path / "bench.json"
    assert main(["bench", str(model_path), "--frames", "1", "--json", str(target)]) == 0
    engines = json.loads(target.read_text())["engines"]
    assert engines["onnxruntime"]["level"] == "statistical"
    assert engines["openvino"]["level"] == "none"
    assert "was not measured on openvino CPU" in capsys.readouterr().out
    assert "certify" in engines["onnxruntime"]["stages_ms"]
    assert "certify" not in engines["openvino"]["stages_ms"]


def test_a_device_without_onnx_measures_engines_and_stages(model_path: Path) -> None:
    args = ["bench", str(model_path), "--frames", "2", "--engine", "onnxruntime"]
    done = subprocess.run(
        [sys.executable, "-c", NO_ONNX, *args], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "The cost of the head was not measured: it needs onnx" in done.stdout
    assert "inference" in done.stdout


def test_refusals(model_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = str(model_path)
    for args, code, message in (
        ([name, "--engine", "onnxruntim"], 2, "did you mean 'onnxruntime'?"),
        ([name, "--engine", "onnxruntime-cuda"], 6, "cannot be used"),
        ([name, "--engine", "tensorrt"], 6, "lipdeploy build"),
        ([str(tmp_path / "no.onnx")], 2, "not there"),
        ([name, "--frames", "0"], 2, "0 is not in the range"),
        ([name, "--eps", "-1"], 2, "eps is -1"),
        ([name, "--json", str(tmp_path)], 2, "cannot be written"),
        ([name, "--json", str(tmp_path / "no" / "x.json")], 2, "cannot be written"),
    ):
        assert main(["bench", *args]) == code, args
        err = capsys.readouterr().err
        assert message in err
        assert err.startswith("lipdeploy: error: ")


def test_turns_alternate_and_the_first_call_does_not_count() -> None:
    seen: list[str] = []
    calls: dict[str, Any] = {name: lambda name=name: seen.append(name) for name in "ab"}
    found = in_turns(calls, range(2))
    assert "".join(seen) == "aabb" * 2
    assert all(len(each.wall_ms) == len(each.cpu_ms) == 2 for each in found.values())


def test_the_table_shows_ratios_of_medians() -> None:
    slow = Times([30.0, 10.0, 20.0], [1.0, 1.0, 1.0])
    fast, bare = Times([8.0], [1.0]), Times([16.0], [1.0])
    figures = {
        "a": EngineFigures("a 1 CPU", "statistical", "", 5.0, slow, bare, {"overlay": 2.0}),
        "b": EngineFigures("b 1 CPU", "none", "was not measured on b CPU", 5.0, fast),
    }
    where = {"processor": "P", "cores": 2, "system": "S", "python": "3", "load_before": 0.5}
    text = table(BenchReport("m.onnx", (1, 8, 9, 3), BenchOptions(("a", "b")), where, figures))
    first, second = text.splitlines()[1:3]
    assert first.split()[3:] == ["20.00", "1.00", "16.00", "+25%", "2.50", "5", "statistical"]
    assert second.split()[3:] == ["8.00", "1.00", "-", "-", "1.00", "5", "none"]
    assert "the model was not measured on b CPU" in text
    assert "load 0.5" in text


def test_one_engine_alone(model_path: Path) -> None:
    report = bench(model_path, BenchOptions(("openvino",), 2, 1))
    assert list(report.figures) == ["openvino"]
    assert report.figures["openvino"].head_share is None
    assert report.shape == (1, 48, 64, 3)
