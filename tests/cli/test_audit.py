"""`certify --audit` and `stream --audit-every` from the command line."""

from __future__ import annotations

import csv
import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from lipdeploy.cli import main
from lipdeploy.core.content_hash import RECORD_KEY, content_from_bytes, with_entries
from lipdeploy.core.manifest import manifest_from_metadata
from lipdeploy.core.record import Record
from lipdeploy.export.verifier.graph import Graph
from lipdeploy.export.verifier.lipschitz import graph_bound
from lipdeploy.runtime.measured_engines import processor_check
from lipdeploy.runtime.onnxruntime_session import ENGINE
from tests.export.tiny_file import SIDE, tiny_file
from tests.export.toy_quantized import EVIDENCE, file_of, honest_numerics, toy_trunk

EPS = ["--eps", "0.001", "--eps", "0.01"]


def honest(model: onnx.ModelProto) -> None:
    """The file as it is."""


def too_sure(model: onnx.ModelProto) -> None:
    """The head's factor from margin to radius is 3 times too large: L in the graph is a lie."""
    for tensor in model.graph.initializer:
        if tensor.name == "head/radius_per_margin":
            scaled = 3 * numpy_helper.to_array(tensor)
            tensor.CopyFrom(numpy_helper.from_array(scaled.astype(np.float32), tensor.name))


def saved(folder: Path, change: Any = honest, precision: str = "") -> Path:
    """A file with the record of a verification, whether or not it would pass one."""
    model = quantized_file(precision) if precision else tiny_file()
    change(model)
    data = model.SerializeToString()
    content = content_from_bytes(data)
    numerics = manifest_from_metadata(content.metadata).numerics
    lipschitz = manifest_from_metadata(content.metadata).lipschitz
    time = "2026-01-01T00:00:00+00:00"
    checks, by = ("bound", processor_check()), (ENGINE,)
    record = Record(
        content.sha256, lipschitz, numerics.level, numerics.slack, checks, 1, by, "0", time
    )
    path = folder / "m.onnx"
    path.write_bytes(with_entries(data, {RECORD_KEY: record.to_text()}))
    return path


def quantized_file(precision: str) -> onnx.ModelProto:
    """A toy of another precision, measured on ONNX Runtime."""
    trunk = toy_trunk(precision).model()
    evidence = EVIDENCE | {"engine": ENGINE}
    numerics = dataclasses.replace(honest_numerics(precision), evidence=evidence)
    return file_of(trunk, graph_bound(Graph(trunk)).lipschitz, numerics)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with pictures, labels and a data set file."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LIPDEPLOY_DEBUG", raising=False)
    rng = np.random.default_rng(0)
    for kind in ("images", "masks"):
        (tmp_path / kind / "val").mkdir(parents=True)
    for index in range(3):
        image = rng.integers(0, 256, (SIDE, SIDE, 3), np.uint8)
        cv2.imwrite(str(tmp_path / f"images/val/{index}.png"), image)
        labels = rng.integers(0, 2, (SIDE, SIDE), np.uint8)
        cv2.imwrite(str(tmp_path / f"masks/val/{index}.png"), labels)
    (tmp_path / "d.yaml").write_text(
        "path: .\ntrain: images/val\nval: images/val\nmasks_dir: masks\n"
        "names:\n  0: left\n  1: right\n"
    )
    return tmp_path


def metrics(folder: str = "exp") -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path("runs/certify", folder, "metrics.json").read_text())
    return found


def test_labelled_data_at_level_proved(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = str(saved(here))
    assert main(["certify", model, "--data", "d.yaml", *EPS, "--audit"]) == 0
    assert "level proved: holds in real arithmetic" in capsys.readouterr().out
    assert main(["certify", model, "--data", "d.yaml", *EPS, "--name", "plain"]) == 0
    proved, plain = metrics(), metrics("plain")
    assert proved["level"] == "proved"
    assert plain["level"] == "statistical"
    for eps in ("0.001", "0.01"):  # D = 1e-4 is what the statistical level pays
        assert proved["eps"][eps]["crs"] >= plain["eps"][eps]["crs"]
        assert proved["eps"][eps]["crpa"] <= proved["pixel_accuracy"]
    assert proved["pixel_accuracy"] == plain["pixel_accuracy"]


def test_frames_without_labels(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Their stability is that of the labelled run, which counts every pixel here too."""
    model = str(saved(here))
    assert main(["certify", model, "--audit", "--frames", "images/val", *EPS]) == 0
    assert "the file claims no more than that" in capsys.readouterr().out
    found = metrics()
    assert main(["certify", model, "--data", "d.yaml", *EPS, "--audit", "--name", "data"]) == 0
    assert found["level"] == "proved"
    assert found["images"] == 3
    assert found["file"] == {
        "engine": ENGINE,
        "level": "statistical",
        "doubt": "",
        "slack": 1e-4,
        "over_claims": 0,
        "other_class": 0,
    }
    for eps, row in found["eps"].items():
        assert row["crs"] == pytest.approx(metrics("data")["eps"][eps]["crs"], abs=0.02)
    with Path("runs/certify/exp/per_image.csv").open() as file:
        assert [row["name"] for row in csv.DictReader(file)] == ["0.png", "1.png", "2.png"]


def test_frames_of_another_size_are_told(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = str(saved(here))
    image = np.zeros((SIDE + 4, SIDE, 3), np.uint8)
    cv2.imwrite(str(here / "images/val/1.png"), image)
    assert main(["certify", model, "--audit", "--frames", "images/val", *EPS]) == 0
    told = f"1 frames were resized to {SIDE}x{SIDE}: eps is of that size"
    assert told in capsys.readouterr().out
    assert metrics()["resized"] == 1


def test_a_file_that_claims_too_much_ends_with_exit_code_3(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = str(saved(here, too_sure))
    assert main(["certify", model, "--audit", "--frames", "images/val", *EPS]) == 3
    assert "FAILED: the file claims too large a radius for" in capsys.readouterr().out
    assert metrics()["file"]["over_claims"] > 100


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--frames", "images/val"], "--frames takes a MODEL, --audit and --eps"),
        (["--audit", "--frames", "images/val", "--data", "d.yaml"], "--frames takes a MODEL"),
        (["--audit", "--data", "d.yaml", "--ray"], "leave out --ray"),
        (["--audit", "--data", "d.yaml", "--engine", "openvino"], "leave out --engine"),
        (["--audit", "--frames", "images/val", "--eps", "-1"], "eps is -1"),
        (["--audit", "--frames", "images/val", "--eps", "nan"], "eps is nan"),
        (["--audit", "--frames", "images/val", "--engine", "foo"], "'foo'"),
        (["--audit", "--data", "d.yaml", "--unverified"], "leave out --unverified"),
    ],
)
def test_what_does_not_go_together(
    flags: list[str], message: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["certify", str(saved(here)), *flags]) == 2
    err = capsys.readouterr().err
    assert message in err


def test_the_engine_that_was_asked_for_is_held_against_float64(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its level is its own: the evidence names ONNX Runtime alone."""
    pytest.importorskip("openvino", reason="needs openvino")
    model = str(saved(here))
    audit = ["certify", model, "--audit", "--frames", "images/val", *EPS]
    assert main([*audit, "--engine", "openvino"]) == 0
    assert "m.onnx on openvino" in capsys.readouterr().out
    file = metrics()["file"]
    assert file["engine"].startswith("openvino")
    assert file["level"] == "none"
    assert "openvino" in file["doubt"]
    assert main([*audit, "--engine", "tensorrt"]) == 6


def test_a_file_without_a_record_is_audited_and_has_no_level(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = saved(here)
    path.write_bytes(with_entries(path.read_bytes(), {}))
    assert main(["certify", str(path), "--audit", "--frames", "images/val", *EPS]) == 0
    assert metrics()["file"]["level"] == "none"
    assert "has no verification record" in capsys.readouterr().out


@pytest.mark.parametrize("precision", ["fp16", "int8-weights", "int8", "int16"])
def test_other_precisions_are_audited(
    precision: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = str(saved(here, precision=precision))
    assert main(["certify", model, "--audit", "--frames", "images/val", *EPS]) == 0
    assert "level proved" in capsys.readouterr().out
    found = metrics()
    assert (found["images"], found["level"]) == (3, "proved")
    assert found["eps"]["0.001"]["crs"] > 0
    assert found["float64_slack"] < 1e-9  # the clips are exact
    assert (found["file"]["over_claims"], found["file"]["other_class"]) == (0, 0)


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_the_drift_alarm_knows_other_precisions(
    precision: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report, err = streamed(saved(here, precision=precision), capsys)
    assert report["drift"]["checked"] >= 1
    assert report["drift"]["alarms"] == report["drift"]["failed"] == 0
    assert "WARNING" not in err
    report, err = streamed(saved(here, too_sure, precision), capsys)
    assert report["drift"]["alarms"] >= 1
    assert err.count("WARNING: drift at frame ") == 1


def streamed(model: Path, capsys: pytest.CaptureFixture[str]) -> tuple[dict[str, Any], str]:
    source = "test://scene?seed=3&duration=2s&size=64x48&fps=20"
    command = ["stream", "--model", str(model), "--source", source, "--no-save", "--json"]
    assert main([*command, "--audit-every", "4"]) == 0
    out, err = capsys.readouterr()
    return json.loads(out.splitlines()[-1]), err


def test_a_stream_of_an_honest_file_has_no_drift(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report, err = streamed(saved(here), capsys)
    assert report["drift"]["checked"] >= 1
    assert report["drift"]["alarms"] == 0
    assert report["withheld"] == {}
    assert "WARNING" not in err


def test_a_stream_of_a_file_that_claims_too_much_is_withheld(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report, err = streamed(saved(here, too_sure), capsys)
    assert report["drift"]["alarms"] >= 1
    assert report["withheld"]["drift"] >= 1
    assert err.count("WARNING: drift at frame ") == 1


WITHOUT_ONNX = """
import sys
sys.modules["onnx"] = None  # importing it fails
from lipdeploy.cli import main
sys.exit(main())
"""


@pytest.mark.parametrize("option", ["--audit-every", "--audit"])
def test_without_onnx_one_line_says_what_to_install(option: str, here: Path) -> None:
    model = str(saved(here))
    commands = {
        "--audit-every": ["stream", "--model", model, "--source", "images/val", option, "2"],
        "--audit": ["certify", model, option, "--frames", "images/val"],
    }
    command = [sys.executable, "-c", WITHOUT_ONNX, *commands[option]]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    line = done.stderr.strip().splitlines()[-1]
    assert line.endswith("run `pip install onnx threadpoolctl` (torch is not needed)")
