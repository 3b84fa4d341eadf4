"""What `lipdeploy build` does: build, verify the plan itself, write both files."""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import os
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lipdeploy import __version__
from lipdeploy.core.dataset import load_dataset, read_image
from lipdeploy.core.errors import ArtefactError, InputError, VerificationError
from lipdeploy.core.resize import resized
from lipdeploy.core.whole_file import whole_file
from lipdeploy.runtime import tensorrt_execution
from lipdeploy.runtime.model_file import ModelFile, read_model
from lipdeploy.runtime.plan_record import (
    AHEAD_OF_TIME,
    PlanRecord,
    PlanVerification,
    record_path,
)
from lipdeploy.runtime.session import PLAN_SUFFIXES, check_trust, is_plan
from lipdeploy.runtime.tensorrt_api import Report, TensorRt, load_tensorrt
from lipdeploy.runtime.tensorrt_build import WORKSPACE_MB, BuildOptions, build_plan
from lipdeploy.runtime.tensorrt_device import Gpu, find_gpu
from lipdeploy.runtime.tensorrt_plan import (
    STATISTICAL_FRAMES,
    is_named,
    matching_gpu,
    matching_tensorrt,
    read_plan,
)

FRAMES_KNOWN, FRAMES_UNKNOWN = 12, STATISTICAL_FRAMES // 2
MODEL_UNVERIFIED = "the model was not verified"
MODEL_AT_NONE = "the model is at level none"

Frames = Sequence[npt.NDArray[np.uint8]]


@dataclass(frozen=True)
class BuildJob:
    """What to build, and how.

    Attributes:
        model: an `.onnx` file.
        target: the plan.
        flavour: of TensorRT; None takes the one that is installed.
        workspace_mb: most scratch memory of a layer.
        timing_cache: file that keeps timings from build to build.
        build_only: leave out the verification of the plan.
        unverified: build a model that nothing is known of.
        trust: public keys, one of which must have signed the model's record.
        data: data set whose train images join the frames.
        frames: generated frames of the verification; None takes as many as the level needs.
    """

    model: Path
    target: Path
    flavour: str | None = None
    workspace_mb: int = WORKSPACE_MB
    timing_cache: Path | None = None
    build_only: bool = False
    unverified: bool = False
    trust: Sequence[Path] = ()
    data: Path | None = None
    frames: int | None = None

    def frames_for(self, file: ModelFile, flavour: str) -> int:
        """Few where D was measured on TensorRT before, else as many as `statistical` needs."""
        if self.frames is not None:
            return self.frames
        known = is_named(file.manifest, file.standing, flavour)
        return FRAMES_KNOWN if known else FRAMES_UNKNOWN


def build(job: BuildJob, report: Report, progress: Callable[[int], object]) -> PlanRecord:
    """Build and verify a plan, and write it with its record; nothing is left where that fails.

    Raises:
        ArtefactError: no TensorRT, no GPU where it needs one, or the file does not build.
        InputError: ENGINE or the timing cache cannot be written there.
        VerificationError: the model is not verified, or the plan is not what it says.
    """
    check_places(job)
    file = accepted(read_model(job.model), job.unverified, job.trust)
    trt = load_tensorrt(job.flavour)
    gpu = _gpu(trt)
    reason = _unverifiable(job, file, gpu)
    images = () if reason else _prepared(job, file, trt)  # what fails must not cost a build
    cache = job.timing_cache
    kept = None if cache is None else cache.read_bytes() if cache.is_file() else b""
    options = BuildOptions(job.workspace_mb, kept)
    built = build_plan(trt, file.data, file.name, options, report)
    record = _record(file, trt, gpu, built.plan, options)
    if reason or gpu is None:
        found = PlanVerification(False, reason)
    else:
        found = _verified(job, file, trt, gpu, built.plan, images, progress)
    record = dataclasses.replace(record, verification=found)
    _write(job.target, built.plan, record)
    if cache is not None and built.timing_cache is not None:
        _write_bytes(cache, built.timing_cache)
    return record


def verify_plan(job: BuildJob, progress: Callable[[int], object]) -> PlanRecord:
    """Verify a plan that was built before, on this device, and write that into its record.

    Raises:
        ArtefactError: the plan does not fit this device.
        InputError: the model is not the one that the plan was built from.
        VerificationError: the plan is not what it says; its record then says so too.
    """
    plan, file = read_plan(job.target), read_model(job.model)
    if hashlib.sha256(file.data).hexdigest() != plan.record.onnx_sha256:
        raise InputError(
            f"plan {job.target} was built from {plan.record.model} with another content than "
            f"{job.model} has now; run {_build_command(job)}"
        )
    _check_verifiable(file, f"then {_build_command(job)}, since that changes the file", job.trust)
    trt, gpu = matching_tensorrt(plan), matching_gpu(plan)
    images = _prepared(job, file, trt)
    try:
        found = _verified(job, file, trt, gpu, plan.data, images, progress)
    except VerificationError as error:
        failed = PlanVerification(False, f"it failed on {gpu.title}: {error}")
        _write_record(job.target, dataclasses.replace(plan.record, verification=failed))
        raise
    record = dataclasses.replace(plan.record, verification=found)
    _write_record(job.target, record)
    return record


def accepted(file: ModelFile, unverified: bool, trust: Sequence[Path]) -> ModelFile:
    """The file, if it may be built.

    Raises:
        InputError: `trust` together with `unverified`.
        VerificationError: no valid record, level `none`, or not signed by a trusted key.
    """
    if unverified and trust:
        raise InputError("--trust and --unverified exclude each other; leave one out")
    if not unverified:
        _check_verifiable(file, "or pass --unverified to build it without claims", trust)
    return file


def _check_verifiable(file: ModelFile, otherwise: str, trust: Sequence[Path]) -> None:
    """A plan can claim no more than the model that it was built from."""
    if not file.standing.valid:
        advice = f"run `lipdeploy verify {file.name}`, {otherwise}"
        raise VerificationError(f"model {file.name} {file.standing.doubt}; {advice}")
    if file.manifest.numerics.level == "none":
        raise VerificationError(
            f"model {file.name} is verified at level none only; export or calibrate it with "
            f"{STATISTICAL_FRAMES} frames or more, {otherwise}"
        )
    if trust:
        check_trust(file.standing, file.name, trust)


def check_places(job: BuildJob) -> None:
    """What is written at the end of a long build must have a place.

    Raises:
        InputError: it has none.
    """
    target, cache = job.target, job.timing_cache
    if not is_plan(target):
        raise InputError(
            f"ENGINE is {target}; expected a name that ends in {' or '.join(PLAN_SUFFIXES)}, "
            "after MODEL"
        )
    for path in (target, record_path(target), *([] if cache is None else [cache])):
        existing = next(p for p in (path.absolute(), *path.absolute().parents) if p.exists())
        in_the_way = existing.is_dir() if existing == path.absolute() else not existing.is_dir()
        if in_the_way or not os.access(existing, os.W_OK):
            what = "is a folder" if path.is_dir() else f"cannot be written ({existing})"
            raise InputError(f"{path} {what}; name another file")


def next_step(job: BuildJob, record: PlanRecord) -> str:
    """What makes a plan that claims nothing claim something."""
    reason = record.verification.reason
    if reason == MODEL_UNVERIFIED:
        return f"`lipdeploy verify {job.model}`, then {_build_command(job)}"
    if reason == MODEL_AT_NONE:
        frames = f"{STATISTICAL_FRAMES} frames or more"
        return f"export or calibrate {job.model} with {frames}, then {_build_command(job)}"
    words = ["lipdeploy", "build", "--verify", str(job.model), str(job.target)]
    return f"`{shlex.join(words)}` on the device that runs it"


def _build_command(job: BuildJob) -> str:
    return f"`{shlex.join(['lipdeploy', 'build', str(job.model), str(job.target)])}`"


def _gpu(trt: TensorRt) -> Gpu | None:
    try:
        return find_gpu()
    except ArtefactError as error:
        if trt.ahead_of_time:
            return None
        raise ArtefactError(
            f"{trt.title} builds on the device that will run the plan only: {error}; TensorRT-RTX "
            "builds without one"
        ) from error


def _unverifiable(job: BuildJob, file: ModelFile, gpu: Gpu | None) -> str:
    """Why the plan is not verified after this build; empty if it is."""
    if not file.standing.valid:
        return MODEL_UNVERIFIED
    if file.manifest.numerics.level == "none":
        return MODEL_AT_NONE
    if gpu is None:
        return "built ahead of time, without a GPU"
    return "built with --build-only" if job.build_only else ""


def _verified(
    job: BuildJob,
    file: ModelFile,
    trt: TensorRt,
    gpu: Gpu,
    plan: bytes,
    images: Frames,
    progress: Callable[[int], object],
) -> PlanVerification:
    from lipdeploy.export.verifier.graph import Graph, model_from_bytes
    from lipdeploy.export.verifier.plan_check import check_plan
    from lipdeploy.runtime.tensorrt_session import open_bytes

    frames = job.frames_for(file, trt.flavour)
    graph = Graph(model_from_bytes(file.data, file.name))
    with open_bytes(trt, gpu, plan, job.target.name, file) as session:
        return check_plan(session, graph, file.manifest, gpu.title, images, frames, progress)


def _prepared(job: BuildJob, file: ModelFile, trt: TensorRt) -> Frames:
    """The images of --data; also loads what the verification needs, so that it is there.

    Raises:
        ArtefactError: cuda-python is missing.
        InputError: the data set cannot be read.
        ModuleNotFoundError: onnx is missing.
    """
    import lipdeploy.export.verifier.plan_check  # noqa: F401

    tensorrt_execution.load_cuda()
    return _calibration(file, job.data, job.frames_for(file, trt.flavour)) if job.data else ()


def _calibration(file: ModelFile, data: Path, count: int) -> Frames:
    """Train images at equal distances in the list, at the network's size."""
    paths = [pair.image for pair in load_dataset(data).pairs("train")]
    chosen = paths[:: max(1, len(paths) // count)][:count]
    return [resized(read_image(p), file.manifest.height, file.manifest.width) for p in chosen]


def _record(
    file: ModelFile, trt: TensorRt, gpu: Gpu | None, plan: bytes, options: BuildOptions
) -> PlanRecord:
    portable = gpu is None or trt.ahead_of_time
    return PlanRecord(
        plan_sha256=hashlib.sha256(plan).hexdigest(),
        plan_bytes=len(plan),
        model=Path(file.name).name,
        onnx_sha256=hashlib.sha256(file.data).hexdigest(),
        content_sha256=file.content.sha256,
        metadata=dict(file.content.metadata),
        flavour=trt.flavour,
        tensorrt=trt.version,
        cuda="none" if gpu is None else gpu.cuda,
        device=AHEAD_OF_TIME if portable or gpu is None else gpu.name,
        compute_capability=AHEAD_OF_TIME if portable or gpu is None else gpu.capability,
        precision=file.manifest.numerics.precision,
        options=options.to_json(),
        verification=PlanVerification(False, "not compared"),
        lipdeploy=__version__,
        time=dt.datetime.now(dt.timezone.utc).isoformat(timespec="seconds"),
    )


def _write(target: Path, plan: bytes, record: PlanRecord) -> None:
    """Plan first: a plan whose record is of an earlier build is refused, never trusted."""
    target.parent.mkdir(parents=True, exist_ok=True)
    _write_bytes(target, plan)
    _write_record(target, record)


def _write_record(target: Path, record: PlanRecord) -> None:
    _write_bytes(record_path(target), record.to_text().encode())


def _write_bytes(target: Path, data: bytes) -> None:
    """Under a name of this process first: of two builds at a time each writes whole files."""
    own = target.with_name(f"{target.name}.{os.getpid()}")
    with whole_file(own) as partial:
        partial.write_bytes(data)
    own.replace(target)
