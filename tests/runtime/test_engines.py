"""Engines: the same answers from the same bytes, without copies, and names that are checked."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch.utils.dlpack import from_dlpack

from lipdeploy.cli import main
from lipdeploy.core.errors import ArtefactError, InputError, VerificationError
from lipdeploy.runtime import onnxruntime_session, openvino_session
from lipdeploy.runtime.model_file import read_model
from lipdeploy.runtime.session import engine_for, engine_names, open_session
from tests.runtime.conftest import save_tiny, tiny_manifest

ORT, OV = onnxruntime_session.ENGINE, openvino_session.ENGINE
SCENE = "test://scene?seed=3&duration=100ms&size=64x48&fps=20"
Image = npt.NDArray[np.uint8]


def image(seed: int = 0) -> Image:
    return np.random.default_rng(seed).integers(0, 256, (48, 64, 3), np.uint8)


def measured_on_both(path: Path) -> Path:
    manifest = tiny_manifest()
    both = dataclasses.replace(
        manifest.numerics, evidence={"engines": {ORT: {"frames": 1000}, OV: {"frames": 1000}}}
    )
    return save_tiny(path, dataclasses.replace(manifest, numerics=both))


def test_both_engines_give_numpy_s_answer(tmp_path: Path) -> None:
    path = measured_on_both(tmp_path / "m.onnx")
    for seed in range(5):
        frame = image(seed)
        top = np.sort(frame.astype(np.float64), axis=2) / 255
        radius = (top[..., 2] - top[..., 1]) / np.sqrt(2)
        for name in ("onnxruntime", "openvino"):
            with open_session(path, name, threads=1) as session:
                found = session.infer(frame, [0.1])
                assert session.manifest.numerics.level == "statistical"
            assert np.array_equal(found.mask, frame.argmax(2))
            np.testing.assert_allclose(found.radius, radius, atol=1e-6)
            assert found.flips[0] == np.count_nonzero(found.radius <= np.float32(0.1))


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("content", [b"\x08\x0a" * 100, b'<?xml version="1.0"?><net/>'])
def test_broken_files_are_refused_in_one_line(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(content)
    with pytest.raises(VerificationError) as caught:
        open_session(path, name)
    assert "\n" not in str(caught.value)


def test_dlpack_in_and_out_copies_nothing(model_path: Path) -> None:
    tensor = torch.from_numpy(image())
    for module in (onnxruntime_session, openvino_session):
        session = module.open_model(read_model(model_path), 1)
        found = session.infer_dlpack(tensor, [0.1])
        expected = session.infer(tensor.numpy(), [0.1])
        assert np.array_equal(found.radius, expected.radius)
        shared = from_dlpack(found.mask)
        assert shared.data_ptr() == found.mask.ctypes.data
    for wrong in (tensor.float(), tensor[:, :32], object(), torch.zeros(3, requires_grad=True)):
        with pytest.raises(InputError, match="expected uint8"):
            session.infer_dlpack(wrong, [0.1])


def test_unknown_engines_are_usage_errors_with_a_suggestion(
    model_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in (["stream", "--source", SCENE, "--model"], ["verify"], ["bench"]):
        assert main([*command, str(model_path), "--engine", "opnvino"]) == 2
        assert "did you mean 'openvino'?" in capsys.readouterr().err
    with pytest.raises(InputError, match="choose from onnxruntime, "):
        open_session(model_path, "zzz")
    assert engine_names()[0] == "onnxruntime"


def test_plans_and_models_are_not_mixed_up() -> None:
    assert engine_for(Path("m.onnx")) == "onnxruntime"
    assert engine_for(Path("m.engine")) == "tensorrt"
    with pytest.raises(ArtefactError, match=r"lipdeploy build m\.onnx m\.engine"):
        engine_for(Path("m.onnx"), "tensorrt")
    with pytest.raises(ArtefactError, match="a plan, which engine 'openvino' cannot run"):
        engine_for(Path("m.engine"), "openvino")
