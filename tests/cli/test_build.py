"""`lipdeploy build` as a user runs it; with real TensorRT-RTX where an environment has one.

LIPDEPLOY_TENSORRT_PYTHON names the `python` of such environments, with `:` between them;
`benchmarks/tensorrt_check.py` makes them.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shlex
import sys
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper

from lipdeploy.cli import build_run, main
from lipdeploy.cli.build_run import BuildJob
from lipdeploy.core.errors import ArtefactError, VerificationError
from lipdeploy.export.verifier.record_file import keep_record
from lipdeploy.export.verifier.verification import verify
from lipdeploy.runtime import tensorrt_check, tensorrt_execution, tensorrt_plan
from lipdeploy.runtime.tensorrt_check import check_builds
from lipdeploy.runtime.tensorrt_session import open_plan
from tests.export.tiny_file import tiny_file
from tests.runtime.tensorrt_fakes import ORIN, Fakes

PYTHONS = [Path(p) for p in os.environ.get("LIPDEPLOY_TENSORRT_PYTHON", "").split(":") if p]


@pytest.fixture(scope="module")
def verified(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("build") / "tiny.onnx"
    onnx.save_model(tiny_file(), str(path))
    keep_record(path, verify(path, frames=2, isolated=False))
    return path.read_bytes()


@pytest.fixture
def model(verified: bytes, tmp_path: Path) -> Path:
    (tmp_path / "tiny.onnx").write_bytes(verified)
    return tmp_path / "tiny.onnx"


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Fakes:
    """TensorRT 10.16.1 on an Orin."""
    fakes = Fakes()
    monkeypatch.setattr(tensorrt_execution, "load_cuda", fakes.cuda)
    for module in (build_run, tensorrt_plan):
        monkeypatch.setattr(module, "load_tensorrt", lambda flavour=None: fakes.tensorrt())
        monkeypatch.setattr(module, "find_gpu", lambda: ORIN)
    monkeypatch.setattr(tensorrt_plan, "installed_flavours", lambda: ("tensorrt",))
    return fakes


def no_gpu() -> Any:
    raise ArtefactError("no GPU can be used here: CUDA error 35; see `lipdeploy doctor`")


def record(model: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(model.with_name("tiny.engine.json").read_text())
    return found


def build(model: Path, *options: str) -> int:
    return main(["build", str(model), str(model.with_suffix(".engine")), *options])


def test_build_verifies_the_plan_and_writes_both_files(
    model: Path, device: Fakes, capsys: pytest.CaptureFixture[str]
) -> None:
    cache = model.with_name("timings")
    assert build(model, "--frames", "3", "--timing-cache", str(cache)) == 0
    out = capsys.readouterr().out
    assert "verified  on Orin (8.7): 3 frames, 3 perturbed, 6 attacks" in out
    assert cache.read_bytes() == b"timed"
    found = record(model)
    assert found["verification"]["slack"] == 1e-4
    assert found["options"]["tf32"] is False
    assert found["model"] == "tiny.onnx", "no folder of the machine that built it"
    assert str(model.parent) not in json.dumps(found)
    assert {p.name for p in model.parent.iterdir()} == {
        "tiny.onnx",
        "tiny.engine",
        "tiny.engine.json",
        "timings",
    }


def test_a_faulty_plan_is_not_written(
    model: Path, device: Fakes, capsys: pytest.CaptureFixture[str]
) -> None:
    device.spoil = lambda found: found | {"radius": found["radius"] * 2}
    assert build(model, "--frames", "2") == 3
    assert "over-claims" in capsys.readouterr().err
    assert {p.name for p in model.parent.iterdir()} == {"tiny.onnx"}


def test_build_only_then_verify(
    model: Path, device: Fakes, capsys: pytest.CaptureFixture[str]
) -> None:
    assert build(model, "--build-only") == 0
    assert "level     none: built with --build-only" in capsys.readouterr().out
    assert record(model)["verification"]["verified"] is False
    assert build(model, "--verify", "--frames", "2") == 0
    assert record(model)["verification"]["verified"] is True
    device.spoil = lambda found: found | {"flips": found["flips"] * 0}
    assert build(model, "--verify", "--frames", "2") == 3
    assert record(model)["verification"]["verified"] is False, "an older verdict must not stand"
    assert "too few flips" in record(model)["verification"]["reason"]


def test_verify_wants_the_file_that_was_built(model: Path, device: Fakes) -> None:
    assert build(model, "--build-only") == 0
    onnx.save_model(tiny_file(), str(model))  # without its record: another file
    assert build(model, "--verify") == 2


def test_unverified_models_are_refused(
    model: Path, device: Fakes, capsys: pytest.CaptureFixture[str]
) -> None:
    onnx.save_model(tiny_file(), str(model))
    assert build(model) == 3
    assert "has no verification record; run `lipdeploy verify" in capsys.readouterr().err
    assert build(model, "--unverified", "--trust", "x.pem") == 2
    assert build(model, "--unverified") == 0
    assert record(model)["verification"]["reason"] == "the model was not verified"
    assert build(model, "--trust", "x.pem") == 3


def commands(text: str) -> list[list[str]]:
    """What stands in backquotes, as arguments of `main`."""
    return [shlex.split(found)[1:] for found in re.findall(r"`(lipdeploy [^`]*)`", text)]


def test_what_an_unverified_build_is_told_to_do_works(
    model: Path, device: Fakes, capsys: pytest.CaptureFixture[str]
) -> None:
    """`build --verify` would refuse the model; so the hint must be another."""
    onnx.save_model(tiny_file(), str(model))
    assert build(model, "--unverified") == 0
    told = capsys.readouterr().out
    assert build(model, "--verify") == 3
    refused = capsys.readouterr().err
    with open_plan(model.with_suffix(".engine")) as session:
        doubt = session.standing.doubt
    for text in (told, refused, doubt):
        verify_it, build_it = commands(text)
        assert verify_it == ["verify", str(model)]
        assert build_it == ["build", str(model), str(model.with_suffix(".engine"))]
    assert main([*verify_it, "--frames", "2"]) == 0
    assert build(model, "--verify") == 2, "the verification changed the file"
    assert commands(capsys.readouterr().err) == [build_it]
    assert main([*build_it, "--frames", "2"]) == 0
    assert record(model)["verification"]["verified"] is True


def test_hints_of_a_plan_that_was_not_compared_work(
    model: Path, device: Fakes, capsys: pytest.CaptureFixture[str]
) -> None:
    assert build(model, "--build-only") == 0
    (told,) = commands(capsys.readouterr().out)
    assert main([*told, "--frames", "2"]) == 0
    with open_plan(model.with_suffix(".engine")) as session:
        (again,) = commands(session.standing.doubt)  # more frames, since D is not TensorRT's
    assert again[-2:] == ["--frames", "500"]
    assert main([*again[:-1], "3"]) == 0


def test_nothing_long_starts_where_the_end_is_not_possible(
    model: Path, device: Fakes, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = model.with_suffix(".engine")
    before = model.read_bytes()
    for target, words in (
        (model, "expected a name that ends in .engine or .plan"),
        (engine.with_suffix(".trt"), "expected a name that ends in"),
        (model / "x.engine", "cannot be written"),
    ):
        assert main(["build", str(model), str(target)]) == 2
        assert words in capsys.readouterr().err
    assert model.read_bytes() == before
    engine.mkdir()
    assert build(model) == 2
    assert "is a folder" in capsys.readouterr().err
    engine.rmdir()
    assert build(model, "--timing-cache", str(model.parent)) == 2
    assert build(model, "--data", str(model.parent / "no.yaml")) == 2
    monkeypatch.undo()  # the real load_cuda, which is not here
    for module in (build_run, tensorrt_plan):
        monkeypatch.setattr(module, "load_tensorrt", lambda flavour=None: device.tensorrt())
        monkeypatch.setattr(module, "find_gpu", lambda: ORIN)
    assert build(model) == 6
    assert "lipdeploy[tensorrt]" in capsys.readouterr().err
    assert not device.networks, "nothing was built"


def test_two_builds_at_a_time_leave_a_whole_pair_or_a_refusal(
    model: Path, device: Fakes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process of the same target writes its own pair in between."""
    assert build(model, "--build-only") == 0
    engine = model.with_suffix(".engine")
    other = engine.read_bytes()
    real = build_run._write_record

    def interrupted(target: Path, found: Any) -> None:
        real(target, found)
        target.write_bytes(other + b"!")

    monkeypatch.setattr(build_run, "_write_record", interrupted)
    assert build(model, "--build-only") == 0
    with pytest.raises(VerificationError, match=r"hash differs; copy both together or run `lip"):
        open_plan(engine)
    assert not list(model.parent.glob("*.partial"))


def test_ahead_of_time_without_a_gpu(
    model: Path, device: Fakes, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(build_run, "find_gpu", no_gpu)
    assert build(model) == 6
    assert "TensorRT-RTX builds without one" in capsys.readouterr().err
    rtx = device.tensorrt("tensorrt-rtx", "1.7.1.116")
    monkeypatch.setattr(build_run, "load_tensorrt", lambda flavour: rtx)
    assert build(model) == 0
    found = record(model)
    assert found["compute_capability"] == found["device"] == "none: built ahead of time"
    assert found["verification"]["verified"] is False


def test_usage(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["build", str(model)]) == 2
    for options, words in (
        (["--python", "x"], "--python goes with --check only"),
        (["--verify", "--build-only"], "--build-only does not go with --verify"),
        (["--verify", "--workspace-mb", "9"], "--workspace-mb does not go with --verify"),
        (["--verify", "--unverified"], "--unverified does not go with --verify"),
        (["--check"], "ENGINE does not go with --check"),
        (["--check", "--verify"], "exclude each other"),
    ):
        assert build(model, *options) == 2
        assert words in capsys.readouterr().err
    assert main(["build", "--check", str(model), "--frames", "3"]) == 2
    assert main(["build", "--check", str(model), "--python", "/no/such/python"]) == 2
    assert "cannot be run" in capsys.readouterr().err


def test_a_plan_where_a_model_is_wanted(
    model: Path, device: Fakes, capsys: pytest.CaptureFixture[str]
) -> None:
    assert build(model, "--build-only") == 0
    plan = str(model.with_suffix(".engine"))
    for args, code, words in (
        (["verify", plan], 2, f"lipdeploy build --verify MODEL.onnx {plan}"),
        (["export", plan, "--for", "triton"], 2, "name the .onnx file"),
        (["inspect", plan], 3, "name the file it was built from"),
        (["build", plan, plan], 3, "name the file it was built from"),
        (
            ["stream", "--source", "test://scene", "--model", plan, "--engine", "openvino"],
            6,
            "plan",
        ),
    ):
        capsys.readouterr()
        assert main(args) == code, args
        assert words in capsys.readouterr().err


def test_job_takes_as_many_frames_as_the_level_needs(model: Path) -> None:
    from lipdeploy.runtime.model_file import read_model

    file = read_model(model)
    assert BuildJob(model, model).frames_for(file, "tensorrt") == 500
    assert BuildJob(model, model, frames=7).frames_for(file, "tensorrt") == 7
    found = file.standing.record
    assert found is not None
    long = dataclasses.replace(found, engines=("tensorrt 10.3.0 Orin GPU",), frames=3000)
    measured = dataclasses.replace(file, standing=dataclasses.replace(file.standing, record=long))
    assert BuildJob(model, model).frames_for(measured, "tensorrt") == 12
    assert BuildJob(model, model).frames_for(measured, "tensorrt-rtx") == 500, "another compiler"


def test_check_without_tensorrt_says_so(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensorrt_check, "_asked", lambda *_: {"flavours": []})
    with pytest.raises(ArtefactError, match="no TensorRT is installed in"):
        check_builds(b"", "m")


def test_check_of_a_program_that_is_no_python_says_so() -> None:
    with pytest.raises(ArtefactError, match=r"/bin/false cannot be asked .* ended with code 1"):
        check_builds(b"", "m", [Path("/bin/false")])


def test_check_survives_a_build_that_crashes(tmp_path: Path) -> None:
    fake = tmp_path / "python"
    fake.write_text(
        '#!/bin/sh\ncase "$*" in *flavours*) echo \'{"flavours": ["tensorrt"]}\';; '
        "*) kill -SEGV $$;; esac\n"
    )
    fake.chmod(0o755)
    (found,) = check_builds(b"", "m", [fake])
    assert not found.builds
    assert "ended with code -11" in found.error


def test_check_needs_nothing_of_lipdeploy_in_the_other_environment(tmp_path: Path) -> None:
    """The other Python has the standard library alone, and a TensorRT that cannot be loaded."""
    fake = tmp_path / "python"
    fake.write_text(f'#!/bin/sh\nshift\nexec {sys.executable} -I -S "$@"\n')
    fake.chmod(0o755)
    with pytest.raises(ArtefactError, match="no TensorRT is installed in"):
        check_builds(b"", "m", [fake])


@pytest.mark.skipif(not PYTHONS, reason="no TensorRT here; name one in LIPDEPLOY_TENSORRT_PYTHON")
class TestRealTensorRt:
    def test_an_exported_file_builds(self, model: Path) -> None:
        found = check_builds(model.read_bytes(), model.name, PYTHONS)
        assert [f.error for f in found] == [""] * len(found)
        assert all(f.plan_bytes > 1000 for f in found)

    def test_the_sort_head_is_refused_in_one_line(self) -> None:
        """TopK of 64 pixels builds, of 4096 it does not: K ends at 3840."""
        found = check_builds(_sorting(4096), "sort.onnx", PYTHONS)
        assert all("--head threshold" in f.error for f in found)
        assert all(f.builds for f in check_builds(_sorting(64), "sort.onnx", PYTHONS))

    def test_uint8_inside_the_graph_is_refused_in_one_line(self) -> None:
        found = check_builds(_bytes_inside(), "bytes.onnx", PYTHONS)
        assert all("export it again" in f.error for f in found)

    def test_what_is_no_model_is_refused(self) -> None:
        found = check_builds(b"no model", "broken.onnx", PYTHONS)
        assert all("cannot parse it" in f.error for f in found)

    def test_the_command(self, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
        words = [word for python in PYTHONS for word in ("--python", str(python))]
        assert main(["build", "--check", str(model), "--json", *words]) == 0
        rows = json.loads(capsys.readouterr().out)["builds"]
        assert [row["builds"] for row in rows] == [True] * len(PYTHONS)
        assert all(row["engine"].startswith("TensorRT") for row in rows)


def _sorting(pixels: int) -> bytes:
    count = helper.make_tensor("count", TensorProto.INT64, [1], [pixels])
    node = helper.make_node("TopK", ["x", "count"], ["y", "order"], largest=0)
    return _model([node], [count], pixels, TensorProto.FLOAT)


def _bytes_inside() -> bytes:
    shape = helper.make_tensor("shape", TensorProto.INT64, [1], [64])
    nodes = [
        helper.make_node("Cast", ["x"], ["bytes"], to=TensorProto.UINT8),
        helper.make_node("Reshape", ["bytes", "shape"], ["y"]),
    ]
    return _model(nodes, [shape], 64, TensorProto.UINT8)


def _model(
    nodes: list[onnx.NodeProto], constants: list[onnx.TensorProto], size: int, kind: int
) -> bytes:
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [size])],
        [helper.make_tensor_value_info("y", kind, [size])],
        constants,
    )
    opsets = [helper.make_opsetid("", 18)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    return bytes(model.SerializeToString())
