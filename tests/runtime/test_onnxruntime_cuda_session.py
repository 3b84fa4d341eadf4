"""ONNX Runtime with CUDA, without a GPU: what is asked for, and what is refused."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import onnxruntime
import pytest

from lipdeploy.cli import main
from lipdeploy.core.errors import ArtefactError
from lipdeploy.runtime import onnxruntime_cuda_session, onnxruntime_session
from lipdeploy.runtime.model_file import read_model
from lipdeploy.runtime.session import available_engines

SCENE = "test://scene?seed=3&duration=100ms&size=64x48&fps=20"


def test_cuda_is_refused_where_it_cannot_run(
    model_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "onnxruntime-cuda" not in available_engines()
    args = ["stream", "--model", str(model_path), "--source", SCENE, "--sink", "null"]
    assert main([*args, "--engine", "onnxruntime-cuda"]) == 6
    err = capsys.readouterr().err
    assert "engine 'onnxruntime-cuda' cannot be used" in err
    assert err.count("\n") == 1
    with pytest.raises(ArtefactError, match="cannot be used"):
        onnxruntime_cuda_session.open_graph(model_path.read_bytes(), 1)


def test_a_session_that_fell_back_to_the_cpu_is_refused(model_path: Path) -> None:
    """What ONNX Runtime does where CUDA's libraries are missing: a warning, and the CPU."""
    fallen = onnxruntime_session.cpu_session(model_path.read_bytes(), 1)
    with pytest.raises(ArtefactError, match="CUDA did not start, it took CPUExecutionProvider"):
        onnxruntime_cuda_session.check_placed(fallen)


def test_operators_without_a_kernel_are_refused(
    model_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The session is asked for no TF32 and no CPU, and its refusal becomes exit code 6."""
    asked: dict[str, Any] = {}

    def refuse(
        data: bytes,
        options: Any,
        providers: Sequence[tuple[str, Mapping[str, str]]],
        enable_fallback: int = 1,
    ) -> Any:
        assert not enable_fallback, "the Python half would try again on the CPU"
        key = "session.disable_cpu_ep_fallback"
        asked.update(
            dict(providers)["CUDAExecutionProvider"], cpu=options.get_session_config_entry(key)
        )
        raise RuntimeError(
            "This session contains graph nodes ... fallback to CPU EP has been disabled"
        )

    monkeypatch.setattr(onnxruntime_cuda_session, "problem", str)
    monkeypatch.setattr(onnxruntime, "InferenceSession", refuse)
    with pytest.raises(ArtefactError, match="no CUDA kernel"):
        onnxruntime_cuda_session.open_model(read_model(model_path), 1)
    assert (asked["use_tf32"], asked["cpu"], asked["enable_cuda_graph"]) == ("0", "1", "1")


def test_a_driver_without_a_gpu_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    driver = SimpleNamespace(cuInit=lambda _: 100)
    monkeypatch.setattr(ctypes, "CDLL", lambda name: driver)
    assert "finds no GPU (CUDA error 100)" in onnxruntime_cuda_session.problem()
    driver.cuInit = lambda _: 0
    assert onnxruntime_cuda_session.problem() == ""
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "1")
    assert "unset NVIDIA_TF32_OVERRIDE" in onnxruntime_cuda_session.problem()
