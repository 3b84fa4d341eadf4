"""Plans and their records: what is refused before the device, with which exit code and words."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from lipdeploy.cli import build_run, main
from lipdeploy.core.errors import ArtefactError, InputError, VerificationError
from lipdeploy.export.verifier.record_file import keep_record
from lipdeploy.export.verifier.verification import verify
from lipdeploy.runtime import tensorrt_execution, tensorrt_plan, tensorrt_session
from lipdeploy.runtime.model_file import read_model
from lipdeploy.runtime.session import check_level, engine_problem, open_session
from lipdeploy.runtime.tensorrt_device import Gpu, find_gpu
from lipdeploy.runtime.tensorrt_session import open_plan
from tests.export.tiny_file import SIDE, tiny_file
from tests.runtime.tensorrt_fakes import ORIN, Fakes

Edit = Callable[[dict[str, Any]], None]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Fakes:
    """A device with TensorRT 10.16.1 and an Orin, all fake."""
    fakes = Fakes()
    monkeypatch.setattr(tensorrt_execution, "load_cuda", fakes.cuda)
    has(monkeypatch, fakes)
    return fakes


def has(
    monkeypatch: pytest.MonkeyPatch,
    fakes: Fakes,
    flavour: str = "tensorrt",
    version: str = "10.16.1",
    gpu: Gpu | None = ORIN,
) -> None:
    def found() -> Gpu:
        if gpu is None:
            raise ArtefactError("no GPU can be used here: CUDA error 35; see `lipdeploy doctor`")
        return gpu

    for module in (build_run, tensorrt_plan, tensorrt_session):
        if hasattr(module, "load_tensorrt"):
            monkeypatch.setattr(
                module, "load_tensorrt", lambda wanted=None: fakes.tensorrt(flavour, version)
            )
        if hasattr(module, "find_gpu"):
            monkeypatch.setattr(module, "find_gpu", found)
    monkeypatch.setattr(tensorrt_plan, "installed_flavours", lambda: (flavour,))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A verified model and its verified plan, built once."""
    folder = tmp_path_factory.mktemp("built")
    path = folder / "tiny.onnx"
    model = tiny_file()
    for entry in model.metadata_props:
        if entry.key == "lipdeploy.numerics":  # as if D had been measured on TensorRT as well
            numerics = json.loads(entry.value)
            figures = {k: v for k, v in numerics["evidence"].items() if k != "engine"}
            engines = ("onnxruntime 1 CPU", "tensorrt 10.16.1 Orin GPU")
            numerics["evidence"]["engines"] = dict.fromkeys(engines, figures)
            entry.value = json.dumps(numerics)
    onnx.save_model(model, str(path))
    keep_record(path, verify(path, frames=2, isolated=False))
    fakes = Fakes()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tensorrt_execution, "load_cuda", fakes.cuda)
        has(patch, fakes)
        assert main(["build", str(path), str(path.with_suffix(".engine"))]) == 0
    return folder


@pytest.fixture
def model(built: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(built, tmp_path / "copy") / "tiny.onnx")


@pytest.fixture
def plan(model: Path, machine: Fakes) -> Path:
    return model.with_suffix(".engine")


def edited(plan: Path, edit: Edit, whole: bool = False) -> None:
    """Change the record; `whole` also renews its hash, as only a forger or a copy would."""
    from lipdeploy.runtime.plan_record import PlanRecord, PlanVerification

    path = plan.with_name(plan.name + ".json")
    fields = json.loads(path.read_text())
    edit(fields)
    if whole:
        del fields["record_sha256"]
        found = PlanVerification(**fields.pop("verification"))
        path.write_text(PlanRecord(**fields, verification=found).to_text())
    else:
        path.write_text(json.dumps(fields))


def test_a_verified_plan_gives_what_onnxruntime_gives(
    plan: Path, model: Path, machine: Fakes
) -> None:
    frame = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    with open_plan(plan) as session, open_session(model) as reference:
        check_level(session, unverified=False)
        assert session.engine == "tensorrt 10.16.1 Orin GPU"
        assert session.manifest.numerics.level == "statistical"
        expected = reference.infer(frame, [0.25])
        for _ in range(3):  # plain, then two launches of the CUDA graph
            found = session.infer(frame, [0.25])
            assert np.array_equal(found.mask, expected.mask)
            assert np.array_equal(found.radius, expected.radius)
            assert np.array_equal(found.flips, expected.flips)
    assert not machine.memory, "device memory was not freed"
    record = json.loads(plan.with_name(plan.name + ".json").read_text())
    assert record["verification"]["verified"] is True
    assert (record["device"], record["compute_capability"], record["cuda"]) == (
        "Orin",
        "8.7",
        "12.6",
    )


def test_results_stay_on_the_device(plan: Path, machine: Fakes) -> None:
    frame = np.random.default_rng(1).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    with tensorrt_session.open_plan(plan) as session:
        expected = session.infer(frame, [0.25])
        found = session.infer_device(frame, [0.25])
        lent = found.radius.__cuda_array_interface__
        assert lent["data"][0] in machine.memory
        assert np.array_equal(machine.last.array("radius")[0], expected.radius)
        assert found.mask.__dlpack_device__() == (2, 0)


@pytest.mark.parametrize(
    ("edit", "whole", "code", "words"),
    [
        (lambda r: r["verification"].update(slack=9.0), False, 3, "was edited"),
        (lambda r: r.pop("record_sha256"), False, 3, "was edited"),
        (lambda r: r.update(schema=2), False, 3, "schema 2, this version reads 1"),
        (lambda r: r.update(plan_sha256="0" * 64), True, 3, "its hash differs"),
        (lambda r: r.update(tensorrt="10.3.0"), True, 6, "built with TensorRT 10.3.0"),
        (lambda r: r.update(flavour="tensorrt-rtx"), True, 6, "this machine has TensorRT"),
        (lambda r: r.update(flavour="x"), True, 3, "flavour 'x'"),
        (lambda r: r.update(device="Xavier"), True, 6, "built on Xavier (8.7), this device is Or"),
        (lambda r: r.update(compute_capability="7.2"), True, 6, "Orin (7.2), this device is Orin"),
    ],
)
def test_a_record_that_does_not_fit(
    plan: Path, edit: Edit, whole: bool, code: int, words: str, machine: Fakes
) -> None:
    edited(plan, edit, whole)
    with pytest.raises((ArtefactError, VerificationError)) as caught:
        open_plan(plan)
    assert caught.value.exit_code == code
    assert words in str(caught.value)
    assert f"`lipdeploy build {plan.with_suffix('.onnx')} {plan}`" in str(caught.value)
    assert not machine.memory
    assert "\n" not in str(caught.value)


def test_truncated_missing_and_foreign_plans(plan: Path, machine: Fakes) -> None:
    data = plan.read_bytes()
    plan.write_bytes(data[:-7])
    with pytest.raises(VerificationError, match=rf"truncated: {len(data) - 7} of {len(data)}"):
        open_plan(plan)
    for other in (data[:-1] + b"?", data + b"?", data * 2):
        plan.write_bytes(other)
        with pytest.raises(VerificationError, match="is not the one that"):
            open_plan(plan)
    plan.with_name(plan.name + ".json").unlink()
    with pytest.raises(VerificationError, match="has no record"):
        open_plan(plan)
    plan.with_name(plan.name + ".json").write_text("{")
    with pytest.raises(VerificationError, match="cannot be read as JSON"):
        open_plan(plan)


def test_a_plan_larger_than_memory_is_refused_before_the_device(
    plan: Path, machine: Fakes, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Huge:
        def __enter__(self) -> Huge:
            return self

        def __exit__(self, *_: object) -> None: ...

        def read(self, size: int) -> bytes:
            assert 0 < size <= plan.stat().st_size
            raise MemoryError

    real = Path.open

    def opened(path: Path, *args: Any, **options: Any) -> Any:
        return Huge() if path == plan else real(path, *args, **options)

    monkeypatch.setattr(Path, "open", opened)
    with pytest.raises(ArtefactError, match="does not fit into this device's memory"):
        open_plan(plan)
    assert not machine.memory


def test_links_to_a_plan_find_its_record(plan: Path, machine: Fakes, tmp_path: Path) -> None:
    link = tmp_path / "current.engine"
    link.symlink_to(plan)
    with open_plan(link) as session:
        assert session.manifest.numerics.level == "statistical"
    gone = tmp_path / "gone.engine"
    gone.symlink_to(tmp_path / "nothing.engine")
    with pytest.raises(InputError, match="is not there"):
        open_plan(gone)


def test_a_record_that_is_no_record(plan: Path) -> None:
    path = plan.with_name(plan.name + ".json")
    whole = path.read_text()
    huge = json.loads(whole)
    huge["verification"]["sigma"] = 10**400
    hostile = ("[" * 10**6, "null", "{}", whole[:-9], '{"schema": 1}', "x" * 2**25)
    for text in (*hostile, _rehashed(huge)):
        path.write_text(text)
        with pytest.raises(VerificationError, match=r"run `lipdeploy build") as caught:
            open_plan(plan)
        assert "\n" not in str(caught.value)


def _rehashed(fields: dict[str, Any]) -> str:
    from lipdeploy.runtime.plan_record import _digest

    fields.pop("record_sha256")
    return json.dumps(fields | {"record_sha256": _digest(fields)})


@pytest.mark.parametrize("suffix", [".engine", ".plan"])
def test_a_plan_is_known_by_its_name(model: Path, machine: Fakes, suffix: str) -> None:
    """Triton wants `model.plan`."""
    path = model.with_suffix(suffix)
    assert main(["build", str(model), str(path), "--frames", "2"]) == 0
    with open_session(path) as session:
        assert session.engine == "tensorrt 10.16.1 Orin GPU"


def test_tf32_by_environment_is_refused(
    plan: Path, machine: Fakes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "1")
    with pytest.raises(ArtefactError, match="unset NVIDIA_TF32_OVERRIDE"):
        open_plan(plan)
    assert "TF32" in tensorrt_session.problem()
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "0")  # off for good is what we want
    open_plan(plan).close()


def test_what_doctor_says_is_what_the_engine_needs(
    machine: Fakes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tensorrt_session, "load_cuda", machine.cuda)
    assert engine_problem("tensorrt") == ""
    has(monkeypatch, machine, "tensorrt-rtx", "1.7.1")  # without the package `tensorrt`
    assert engine_problem("tensorrt") == ""
    has(monkeypatch, machine, gpu=None)
    assert "no GPU can be used here" in engine_problem("tensorrt")


def test_a_level_of_none_leads_to_the_model(plan: Path) -> None:
    def none(fields: dict[str, Any]) -> None:
        del fields["metadata"]["lipdeploy.verification"]

    edited(plan, none, whole=True)
    model = plan.with_suffix(".onnx")
    with open_plan(plan) as session, pytest.raises(VerificationError) as caught:
        check_level(session, unverified=False)
    assert f"run `lipdeploy verify {model}`, then `lipdeploy build {model} {plan}`" in str(
        caught.value
    )


def test_no_gpu_is_one_clear_line(plan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    has(monkeypatch, Fakes(), gpu=None)
    with pytest.raises(ArtefactError, match="no GPU can be used here"):
        open_plan(plan)


def test_the_probe_of_this_machine_answers() -> None:
    try:
        found = find_gpu().capability
    except ArtefactError as error:
        found = str(error)
    assert re.fullmatch(r"\d+\.\d+|no GPU can be used here: .*; see `lipdeploy doctor`", found)


def test_a_forged_level_is_not_read_from_the_record(plan: Path) -> None:
    """Metadata that claims more than the model's verification record says is no claim."""

    def more(fields: dict[str, Any]) -> None:
        numerics = json.loads(fields["metadata"]["lipdeploy.numerics"])
        numerics["slack"] = 0.0
        fields["metadata"]["lipdeploy.numerics"] = json.dumps(numerics)

    edited(plan, more, whole=True)
    with open_plan(plan) as session:
        assert session.manifest.numerics.level == "none"
        with pytest.raises(VerificationError, match="its record verified"):
            check_level(session, unverified=False)


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda v: v.update(verified=False, reason="r"), r"was not verified as a plan \(r\)"),
        (lambda v: v.update(device="Thor (11.0)"), "was verified as a plan on Thor"),
        (lambda v: v.update(slack=1.0), "for a slack of 1.0"),
        (lambda v: v.update(evidence={}), "not measured on TensorRT, and the plan on 24 frames"),
        (
            lambda v: v.update(
                evidence={}, frames=500, perturbed_frames=500, rounding_attacked_frames=0
            ),
            "not measured on TensorRT",
        ),
    ],
)
def test_what_was_not_verified_here_claims_nothing(plan: Path, edit: Edit, words: str) -> None:
    edited(plan, lambda fields: _edit_verification(fields, edit), whole=True)
    with open_plan(plan) as session:
        assert session.manifest.numerics.level == "none"
        with pytest.raises(VerificationError, match=words):
            check_level(session, unverified=False)


def test_a_thousand_frames_on_the_plan_itself_are_evidence_too(plan: Path) -> None:
    enough = {"evidence": {}, "frames": 500, "perturbed_frames": 500}
    edited(plan, lambda f: _edit_verification(f, lambda v: v.update(enough)), whole=True)
    with open_plan(plan) as session:
        assert session.manifest.numerics.level == "statistical"


def _edit_verification(fields: dict[str, Any], edit: Edit) -> None:
    """Also `evidence`, in the metadata of the model."""
    found = fields["verification"]
    edit(found)
    if "evidence" in found:
        numerics = json.loads(fields["metadata"]["lipdeploy.numerics"])
        numerics["evidence"] = found.pop("evidence")
        fields["metadata"]["lipdeploy.numerics"] = json.dumps(numerics)


def test_a_model_built_in_memory_claims_nothing(model: Path, machine: Fakes) -> None:
    with tensorrt_session.open_model(read_model(model), 0) as session:
        assert session.manifest.numerics.level == "none"
        with pytest.raises(VerificationError, match="built in memory"):
            check_level(session, unverified=False)


def test_a_plan_without_a_cuda_graph_runs_too(plan: Path, machine: Fakes) -> None:
    machine.capturable = False
    frame = np.zeros((SIDE, SIDE, 3), np.uint8)
    with open_plan(plan) as session:
        before = machine.launches
        first = session.infer(frame, [0.1])
        assert np.array_equal(first.radius, session.infer(frame, [0.1]).radius)
    assert machine.launches == before


def test_tensorrt_that_refuses_a_plan(plan: Path, machine: Fakes) -> None:
    machine.refuses = True
    with pytest.raises(ArtefactError, match=r"refused by TensorRT 10.16.1 \(magicTag"):
        open_plan(plan)
