"""A calibrated file keeps its level on the processor where it was verified, and nowhere else."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from lipdeploy.calibration.half import half_trunk
from lipdeploy.cli import main
from lipdeploy.core.manifest import Numerics
from lipdeploy.export.artefact import Description
from lipdeploy.export.sealing import sealed, write_verified
from lipdeploy.export.verifier.graph import Graph
from lipdeploy.export.verifier.lipschitz import graph_bound
from lipdeploy.runtime import measured_engines
from lipdeploy.runtime.onnxruntime_session import ENGINE
from lipdeploy.runtime.session import open_session
from tests.calibration.small_network import arrays, manifest, trunk

FIGURES = {"frames": 1000, "attacked_frames": 125, "rounding_attacked_frames": 64}


def level_of(path: Path) -> str:
    with open_session(path) as session:
        return session.manifest.numerics.level


def test_a_half_precision_file_asks_for_a_verification_on_every_kind_of_processor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model = half_trunk(trunk(arrays()))
    bound = graph_bound(Graph(model))
    figures = {**FIGURES, "largest_error": 0.01, "sigma": 1e-4}
    numerics = Numerics("fp16", 0.02, "statistical", {**figures, "engine": ENGINE})
    described = dataclasses.replace(
        manifest(trunk(arrays())),
        lipschitz=bound.lipschitz * (1 + 1e-9),
        layers=bound.layers,
        numerics=numerics,
    )
    path = tmp_path / "half.onnx"
    write_verified(sealed(model, described, Description(), False), path, ["onnxruntime"])
    assert level_of(path) == "statistical"
    monkeypatch.setattr(measured_engines, "processor_kind", lambda: "aarch64 asimd asimdhp")
    assert level_of(path) == "none"
    assert main(["stream", "--model", str(path), "--source", "test://scene?duration=1s"]) == 3
    assert f"verify {path}` on this device" in capsys.readouterr().err
    assert main(["verify", str(path), "--engine", "onnxruntime"]) == 0  # as it is run over there
    assert level_of(path) == "statistical"
