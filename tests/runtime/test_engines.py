"""Engines: the same answers from the same bytes, and refusals that say what to do."""

from __future__ import annotations

import ctypes
import dataclasses
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest
import torch
from torch.utils.dlpack import from_dlpack

from lipdeploy.cli import main
from lipdeploy.core.content_hash import RECORD_KEY, with_entries
from lipdeploy.core.errors import ArtefactError, InputError, VerificationError
from lipdeploy.core.manifest import Level, Numerics
from lipdeploy.core.record import Record
from lipdeploy.runtime import onnxruntime_cuda_session, onnxruntime_session, openvino_session
from lipdeploy.runtime.bound_model import BoundModel
from lipdeploy.runtime.engine_session import EngineSession
from lipdeploy.runtime.measured_engines import doubt_on, family, measured_as, measured_engines
from lipdeploy.runtime.model_file import read_model
from lipdeploy.runtime.openvino_package import openvino
from lipdeploy.runtime.processor import processor_kind
from lipdeploy.runtime.session import (
    Session,
    available_engines,
    check_level,
    engine_for,
    engine_names,
    open_session,
)
from tests.runtime.conftest import save_tiny, tiny_manifest, tiny_model, tiny_record

ORT, OV = onnxruntime_session.ENGINE, openvino_session.ENGINE
SCENE = "test://scene?seed=3&duration=100ms&size=64x48&fps=20"
Image = npt.NDArray[np.uint8]


def image(seed: int = 0) -> Image:
    return np.random.default_rng(seed).integers(0, 256, (48, 64, 3), np.uint8)


def numerics(level: Level = "statistical", **evidence: Any) -> Numerics:
    return Numerics("float32", 0.0, level, evidence)


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


def test_what_openvino_returned_stays_when_it_runs_again(model_path: Path) -> None:
    with open_session(model_path, "openvino") as session:
        first = session.infer(image(1), [0.1])
        kept = first.mask.copy(), first.radius.copy()
        session.infer(image(2), [0.1])
    assert np.array_equal(first.mask, kept[0])
    assert np.array_equal(first.radius, kept[1])


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("content", [b"\x08\x0a" * 100, b'<?xml version="1.0"?><net/>'])
def test_broken_files_are_refused_in_one_line(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(content)
    with pytest.raises(VerificationError) as caught:
        open_session(path, name)
    assert "\n" not in str(caught.value)


def test_openvino_checks_the_interface_and_the_metadata(
    make_model: Callable[..., Path], model_path: Path
) -> None:
    with pytest.raises(VerificationError, match="input 'image' is"):
        open_session(make_model(size=(24, 32)), "openvino")
    file = read_model(model_path)
    lying = dict(file.content.metadata) | {"names": "{0: 'other'}"}
    content = dataclasses.replace(file.content, metadata=lying)
    with pytest.raises(VerificationError, match="other metadata"):
        openvino_session.open_model(dataclasses.replace(file, content=content), 1)


def test_openvino_refuses_what_it_cannot_load(model_path: Path) -> None:
    file = read_model(model_path)
    broken = dataclasses.replace(file, data=file.data[:-200])
    with pytest.raises(VerificationError, match="cannot be loaded as ONNX") as caught:
        openvino_session.open_model(broken, 1)
    assert "\n" not in str(caught.value)


def test_openvino_computes_in_float32_and_says_where_it_does_not(model_path: Path) -> None:
    core = openvino.Core()
    compiled = openvino_session.compiled_model(core.read_model(model_path.read_bytes()), 1)
    found = openvino_session.precisions(compiled.get_runtime_model())
    assert found
    assert not {"bf16", "f16"} & set(found.values())
    with pytest.raises(ArtefactError, match="compute conv1 in bf16 on this device"):
        openvino_session.check_float32("f32", {"relu": "f32", "conv1": "bf16"})
    with pytest.raises(ArtefactError, match="everything in f16"):
        openvino_session.check_float32("f16", {})


def test_a_model_compiled_otherwise_is_refused(
    model_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A processor with bf16 that ignores the hint, as far as the session can see."""
    monkeypatch.setattr(openvino_session, "precisions", lambda model: {"conv": "bf16"})
    args = ["stream", "--model", str(model_path), "--source", SCENE, "--sink", "null"]
    assert main([*args, "--engine", "openvino", "--unverified"]) == 6
    err = capsys.readouterr().err
    assert "would compute conv in bf16" in err
    assert err.count("\n") == 1


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


def test_openvino_reports_to_nobody() -> None:
    """`import openvino` alone sends an event and keeps an identifier in the home folder."""
    code = """
import socket, sys
def refuse(*args, **kwargs):
    raise SystemExit(f"connects to {args}")
socket.socket.connect = socket.getaddrinfo = refuse
import lipdeploy.runtime.openvino_session
assert "openvino" in sys.modules
assert not [m for m in sys.modules if m.startswith("openvino_telemetry.")]
"""
    with tempfile.TemporaryDirectory() as home:
        done = subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "HOME": home}, check=False
        )
        assert done.returncode == 0
        assert not list(Path(home).iterdir())


# --- IOBinding, on the CPU, where the same code runs as on a GPU


def bound(path: Path, fixed: bool = False) -> BoundModel:
    return BoundModel(onnxruntime_session.cpu_session(path.read_bytes(), 1), "cpu", fixed)


def test_bound_buffers_give_the_same_and_keep_it(model_path: Path) -> None:
    file = read_model(model_path)
    model = bound(model_path)
    session = EngineSession(file, ORT, model.run)
    plain = onnxruntime_session.open_model(file, 1)
    first = session.infer(image(1), [0.2])
    second = session.infer(image(2), [0.3])
    for found, frame, eps in ((first, image(1), 0.2), (second, image(2), 0.3)):
        expected = plain.infer(frame, [eps])
        for name in ("mask", "radius", "flips"):
            assert np.array_equal(getattr(found, name), getattr(expected, name))


@pytest.mark.parametrize("fixed", [False, True])
def test_a_tensor_goes_in_and_tensors_come_out(model_path: Path, fixed: bool) -> None:
    model = bound(model_path, fixed)
    plain = onnxruntime_session.open_model(read_model(model_path), 1)
    places = set()
    for seed in (1, 2):
        tensor = torch.from_numpy(image(seed)[None])
        found = model.run_shared(tensor, np.array([0.2], np.float32))
        expected = plain.infer(image(seed), [0.2])
        mask = from_dlpack(found.mask)
        assert np.array_equal(mask.numpy()[0], expected.mask)
        assert np.array_equal(from_dlpack(found.radius).numpy()[0], expected.radius)
        assert np.array_equal(from_dlpack(found.flips).numpy()[0], expected.flips)
        places.add(mask.data_ptr())
    assert len(places) == 1  # the buffers stay where they are
    again = model.run(["mask"], {"image": image(3)[None]})
    assert np.array_equal(again[0][0], plain.infer(image(3), [0.2]).mask)


def test_a_tensor_is_read_where_it_is_unless_addresses_are_recorded(model_path: Path) -> None:
    tensor = torch.from_numpy(image()[None])
    for fixed, copied in ((False, False), (True, True)):
        model = bound(model_path, fixed)
        model.run_shared(tensor, np.array([0.2], np.float32))
        own = model._inputs["image"].numpy()
        assert np.array_equal(own, tensor.numpy()) == copied


@pytest.mark.parametrize(
    "wrong",
    [
        torch.zeros((1, 48, 64, 3)),
        torch.zeros((48, 64, 3), dtype=torch.uint8),
        torch.zeros((1, 3, 48, 64), dtype=torch.uint8).permute(0, 2, 3, 1),
        "image",
    ],
)
def test_a_tensor_that_does_not_fit_is_refused(model_path: Path, wrong: Any) -> None:
    with pytest.raises(InputError, match="expected"):
        bound(model_path).run_shared(wrong, np.array([0.2], np.float32))


# --- the GPU that is not here


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
        data: bytes, options: Any, providers: Sequence[tuple[str, Mapping[str, str]]]
    ) -> Any:
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


# --- names


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


# --- a level holds on the engines that were measured


@pytest.mark.parametrize(
    ("engine", "name"),
    [("onnxruntime 1.32.0 CPU", "onnxruntime CPU"), ("tensorrt 10.3 Orin GPU", "tensorrt GPU")],
)
def test_family(engine: str, name: str) -> None:
    assert family(engine) == name


def test_evidence_names_engines_in_two_ways() -> None:
    old = numerics(engine="onnxruntime 1.20.1 CPU")
    new = numerics(engine=ORT, engines={ORT: {}, "openvino 2025.1 CPU": {}})
    assert doubt_on(ORT, old) == doubt_on(ORT, new) == doubt_on(OV, new) == ""
    assert doubt_on(OV, old) == "was not measured on openvino CPU, only on onnxruntime CPU"
    assert measured_as(ORT, old) == "onnxruntime 1.20.1 CPU"
    assert "only on no engine at all" in doubt_on(ORT, numerics())
    # `engines` is the whole truth where it is there, and what is no list of names is nothing
    assert doubt_on(ORT, numerics(engine=ORT, engines={OV: {}}))
    odd: Any
    for odd in (None, 3, "onnxruntime 1 CPU", [3], {}):
        assert doubt_on(ORT, numerics(engines=odd, engine=ORT))
    assert doubt_on("onnxruntime 1.32.0 CUDA GPU", new)
    assert doubt_on("tensorrt 10 GPU", numerics("none")) == ""


def test_a_derived_level_holds_on_the_engine_and_processor_that_were_asked() -> None:
    here: Any = {"rule": "bounded", "engines": {ORT: {}}, "processor": processor_kind()}
    assert doubt_on(ORT, numerics("bounded", **here)) == ""
    assert doubt_on("onnxruntime 9.9.9 CPU", numerics("bounded", **here))
    assert doubt_on(OV, numerics("bounded", **here))
    there = here | {"processor": "x86_64 avx512f"}
    assert "is bounded for" in doubt_on(ORT, numerics("bounded", **there))
    assert doubt_on(ORT, numerics("bounded", engines={ORT: {}}))
    assert doubt_on(OV, numerics("bounded", **here), record(9000, ORT, OV))


def record(frames: int, *engines: str) -> Record:
    return Record("0" * 64, 1.0, "statistical", 0.0, (), frames, engines, "0", "now")


def test_only_a_long_verification_stands_for_an_engine() -> None:
    file = numerics(engine=ORT)
    assert doubt_on(OV, file, record(36, OV))
    assert doubt_on(OV, file, record(2999, OV))
    assert doubt_on(OV, file, record(5999, OV, ORT))
    assert doubt_on(OV, file, record(3000, OV)) == ""
    assert doubt_on(OV, file, record(3000, ORT))
    assert measured_engines(file, record(3000, OV)) == (ORT, OV)
    assert measured_engines(file, record(0)) == (ORT,)


def test_an_unmeasured_engine_claims_nothing(
    model_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with open_session(model_path, "openvino") as session:
        assert session.manifest.numerics.level == "none"
        with pytest.raises(VerificationError, match="verify --engine openvino --frames 1000"):
            check_level(session, unverified=False)
    args = ["stream", "--model", str(model_path), "--source", SCENE, "--sink", "null"]
    assert main([*args, "--engine", "openvino"]) == 3
    err = capsys.readouterr().err
    assert "was not measured on openvino CPU, only on onnxruntime CPU" in err
    assert err.count("\n") == 1
    assert main([*args, "--engine", "openvino", "--unverified", "--json"]) == 0
    assert main(args) == 0


def test_a_long_record_lets_it_claim(tmp_path: Path) -> None:
    manifest = tiny_manifest()
    data = tiny_model(manifest).SerializeToString()
    path = tmp_path / "m.onnx"
    levels = []
    for frames in (36, 3000):
        found = dataclasses.replace(tiny_record(data, manifest), engines=(OV,), frames=frames)
        path.write_bytes(with_entries(data, {RECORD_KEY: found.to_text()}))
        with open_session(path, "openvino") as session:
            levels.append(level_of(session))
    assert levels == ["none", "statistical"]


def level_of(session: Session) -> str:
    return session.manifest.numerics.level
