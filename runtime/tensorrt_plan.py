"""What must hold before a plan may touch the device; each refusal names the difference and the fix.

VerificationError (3)   truncated, another model's plan, an edited or missing record
ArtefactError (6)       another TensorRT, version or device than the one that built it
"""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass
from pathlib import Path

from lipdeploy.core.errors import ArtefactError, InputError, VerificationError
from lipdeploy.core.manifest import Manifest
from lipdeploy.core.record import Standing
from lipdeploy.runtime.measured_engines import family, measured_engines
from lipdeploy.runtime.model_file import disclaimed
from lipdeploy.runtime.plan_record import (
    PlanRecord,
    PlanVerification,
    model_beside,
    read_plan_record,
    rebuild_command,
    record_path,
    verify_command,
)
from lipdeploy.runtime.tensorrt_api import PACKAGES, TensorRt, installed_flavours, load_tensorrt
from lipdeploy.runtime.tensorrt_device import Gpu, find_gpu

STATISTICAL_FRAMES = 1000  # that level `statistical` needs on the engine that runs (contract)


@dataclass(frozen=True)
class PlanFile:
    """One reading of a plan and its record; what was hashed is what the engine gets.

    Attributes:
        name: for messages.
        data: the plan.
        record: beside it.
        manifest: as the ONNX file declared it.
        standing: whether that file was verified.
    """

    name: str
    data: bytes
    record: PlanRecord
    manifest: Manifest
    standing: Standing


def read_plan(path: Path) -> PlanFile:
    """Read a plan and its record, and check that they belong together.

    Raises:
        InputError: there is no such file.
        VerificationError: they do not, or one of them is not whole.
    """
    if not path.is_file():
        what = "a folder" if path.is_dir() else "not there"
        raise InputError(f"plan {path} is {what}; expected a file of `lipdeploy build`")
    record = read_plan_record(path)
    again = rebuild_command(path, record.model)
    data = _bytes_of(path, record.plan_bytes)
    if len(data) < record.plan_bytes:
        raise VerificationError(
            f"plan {path} is truncated: {len(data)} of {record.plan_bytes} bytes; copy it again or "
            f"run {again}"
        )
    if hashlib.sha256(data).hexdigest() != record.plan_sha256:
        raise VerificationError(
            f"plan {path} is not the one that {record_path(path).name} describes (model "
            f"{record.model}): its hash differs; copy both together or run {again}"
        )
    manifest = record.manifest(str(path))
    return PlanFile(str(path), data, record, manifest, record.standing(manifest))


def _bytes_of(path: Path, size: int) -> bytes:
    """The file, but no more of it than tells that it is longer than its record says.

    Raises:
        ArtefactError: it does not fit into memory.
    """
    try:
        with path.open("rb") as file:
            return file.read(min(path.stat().st_size, size + 1))
    except MemoryError as error:
        raise ArtefactError(
            f"plan {path} of {size} bytes does not fit into this device's memory; free some, or "
            "export a smaller model"
        ) from error


def matching_tensorrt(plan: PlanFile) -> TensorRt:
    """The TensorRT of this machine, if it is the one that built the plan.

    Raises:
        ArtefactError: another flavour, or another version.
    """
    record, again = plan.record, rebuild_command(Path(plan.name), plan.record.model)
    if record.flavour not in PACKAGES:
        raise VerificationError(f"plan {plan.name} is of flavour {record.flavour!r}; run {again}")
    built = f"{PACKAGES[record.flavour]} {record.tensorrt}"
    if record.flavour not in installed_flavours():
        here = ", ".join(PACKAGES[f] for f in installed_flavours()) or "no TensorRT"
        raise ArtefactError(
            f"plan {plan.name} was built with {built}, this machine has {here}; install it, or run "
            f"{again} here"
        )
    trt = load_tensorrt(record.flavour)
    if trt.version != record.tensorrt:
        raise ArtefactError(
            f"plan {plan.name} was built with {built}, this machine has {trt.title}; run {again} "
            "here"
        )
    return trt


def matching_gpu(plan: PlanFile) -> Gpu:
    """The GPU of this machine, if the plan runs on it.

    Raises:
        ArtefactError: no GPU, or another one than the plan was built on.
    """
    gpu, record = find_gpu(), plan.record
    built = (record.device, record.compute_capability)
    if not record.built_ahead and built != (gpu.name, gpu.capability):
        raise ArtefactError(
            f"plan {plan.name} was built on {record.device} ({record.compute_capability}), this "
            f"device is {gpu.title}; run {rebuild_command(Path(plan.name), record.model)} here"
        )
    return gpu


def claim(plan: PlanFile, gpu: Gpu) -> tuple[Manifest, Standing]:
    """What may be claimed of the plan on this GPU.

    Level `none` unless the plan was verified on it, and never more than `statistical`: the bounds
    of the higher levels assume sums of products, and TensorRT may choose other algorithms.
    """
    doubt = _origin_doubt(plan) or _doubt(plan, gpu)
    if doubt:
        return disclaimed(plan.manifest), dataclasses.replace(plan.standing, doubt=doubt)
    numerics = plan.manifest.numerics
    if numerics.level in ("proved", "bounded"):
        numerics = dataclasses.replace(numerics, level="statistical")
    return dataclasses.replace(plan.manifest, numerics=numerics), plan.standing


def _origin_doubt(plan: PlanFile) -> str:
    """Why the model file can claim nothing, and so no plan of it; a verification changes it."""
    path, model = Path(plan.name), plan.record.model
    again = rebuild_command(path, model)
    if plan.standing.doubt:
        return (
            f"was built from {model}, which {plan.standing.doubt}; run "
            f"`lipdeploy verify {model_beside(path, model)}`, then {again}"
        )
    if plan.manifest.numerics.level == "none":
        return (
            f"was built from {model}, which is at level none; export or calibrate that with "
            f"{STATISTICAL_FRAMES} frames or more, then run {again}"
        )
    return ""


def _doubt(plan: PlanFile, gpu: Gpu) -> str:
    record, found = plan.record, plan.record.verification
    path = Path(plan.name)
    fix = f"{verify_command(path, record.model)} on this device"
    if not found.verified:
        return f"was not verified as a plan ({found.reason}); run {fix}"
    if found.device != gpu.title:
        return f"was verified as a plan on {found.device}, this device is {gpu.title}; run {fix}"
    slack = plan.manifest.numerics.slack
    if not found.largest_error <= slack == found.slack:
        return f"was verified for a slack of {found.slack}, the model has {slack}; run {fix}"
    if not measured_enough(plan, found):
        options = ("--frames", str(STATISTICAL_FRAMES // 2))
        return (
            f"rests on a slack that was not measured on {PACKAGES[record.flavour]}, and the plan "
            f"on {found.frames + found.perturbed_frames} frames only; run "
            f"{verify_command(path, record.model, *options)} on this device"
        )
    return ""


def is_named(manifest: Manifest, standing: Standing, flavour: str) -> bool:
    """Whether D was measured on this flavour of TensorRT: by the evidence, or a long record."""
    names = measured_engines(manifest.numerics, standing.record)
    return f"{flavour} GPU" in {family(name) for name in names}


def measured_enough(plan: PlanFile, found: PlanVerification) -> bool:
    """Whether `statistical` is earned on this engine: by the evidence for D, or by the plan's."""
    frames = found.frames + found.perturbed_frames
    attacked = found.rounding_attacked_frames > 0 and found.perturbed_frames > 0
    named = is_named(plan.manifest, plan.standing, plan.record.flavour)
    return named or (frames >= STATISTICAL_FRAMES and attacked)
