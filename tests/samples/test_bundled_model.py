"""The model behind `lipdeploy demo` is verified as it ships."""

from __future__ import annotations

from pathlib import Path

from lipdeploy.runtime.model_file import read_model

MODEL = Path(__file__).resolve().parents[2] / "samples" / "scene_s.onnx"


def test_the_bundled_model_has_a_valid_record() -> None:
    file = read_model(MODEL)
    assert file.standing.doubt == ""
    assert file.claimable.numerics.level == "statistical"
