"""TensorRT and TensorRT-RTX: plans of `lipdeploy build`, and models built in memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lipdeploy.core.closing import Closing
from lipdeploy.core.errors import (
    ArtefactError,
    InputError,
    LipdeployError,
    VerificationError,
)
from lipdeploy.core.manifest import Manifest
from lipdeploy.core.record import Standing
from lipdeploy.runtime.dlpack import CPU, CUDA, DeviceArray, borrowed
from lipdeploy.runtime.model_file import ModelFile, disclaimed
from lipdeploy.runtime.session import (
    Prediction,
    Run,
    checked_budgets,
    checked_image,
    prediction_from_outputs,
)
from lipdeploy.runtime.tensorrt_api import TensorRt, installed_flavours, load_tensorrt
from lipdeploy.runtime.tensorrt_build import build_plan
from lipdeploy.runtime.tensorrt_device import Gpu, find_gpu
from lipdeploy.runtime.tensorrt_execution import Execution, load_cuda
from lipdeploy.runtime.tensorrt_plan import claim, matching_gpu, matching_tensorrt, read_plan
from lipdeploy.runtime.tf32 import TF32_FORCED, tf32_forced

ENGINE = f"{next(iter(installed_flavours()), 'tensorrt')} GPU"
"""Family and device; a session's own `engine` has the version and the GPU's name between them."""

IN_MEMORY = (
    "runs in a plan that was built in memory and compared with nothing; build one with "
    "`lipdeploy build` and open that"
)


@dataclass(frozen=True)
class DevicePrediction:
    """A prediction where the engine left it; the next frame overwrites it.

    Attributes:
        mask: uint8, shape (1, H, W).
        radius: float32, shape (1, H, W).
        flips: float32, shape (1, E), as the graph computed it.
    """

    mask: DeviceArray
    radius: DeviceArray
    flips: DeviceArray


class TensorRtSession(Closing):
    """A plan on a GPU; implements `Session`. Not for two threads at a time."""

    def __init__(
        self, execution: Execution, name: str, engine: str, manifest: Manifest, standing: Standing
    ) -> None:
        self._execution: Execution | None = execution
        self.name, self.engine = name, engine
        self.manifest, self.standing = manifest, standing

    def infer(self, image: npt.NDArray[np.uint8], eps: Sequence[float]) -> Prediction:
        """See `Session.infer`."""
        found = self.outputs(image, eps)
        mask = found["mask"]
        if int(mask.max()) >= len(self.manifest.class_names):
            raise VerificationError(
                f"the plan predicted class id {int(mask.max())}, its record names only "
                f"{len(self.manifest.class_names)} classes; build it again"
            )
        return prediction_from_outputs(mask, found["radius"], found["flips"])

    def infer_device(self, image: Any, eps: Sequence[float]) -> DevicePrediction:
        """Segment an image that any DLPack library holds; the results stay on the device.

        Args:
            image: uint8 RGB of shape (1, H, W, 3) or (H, W, 3), on the host or on this GPU. What
                was started on it must be finished: no stream is waited for.
            eps: as for `infer`.

        Raises:
            InputError: another type, shape or device.
        """
        lent, execution = borrowed(image), self._running()
        size = (self.manifest.height, self.manifest.width, 3)
        if lent.dtype != np.uint8 or lent.shape not in (size, (1, *size)):
            raise InputError(f"image is {lent.dtype} {lent.shape}; expected uint8 {(1, *size)}")
        if lent.device[0] not in (CPU, CUDA):
            raise InputError(f"image is on DLPack device {lent.device}; expected a GPU or the host")
        execution.put("eps", checked_budgets(eps, self.manifest))
        execution.put_address("image", lent.address, lent.nbytes)
        execution.execute()
        mask, radius, flips = (execution.view(name) for name in ("mask", "radius", "flips"))
        return DevicePrediction(mask, radius, flips)

    def outputs(
        self, image: npt.NDArray[np.uint8], eps: Sequence[float]
    ) -> dict[str, npt.NDArray[Any]]:
        """Every output of the plan as it is, `logits` included where the model has it."""
        batch, budgets = checked_image(image, self.manifest), checked_budgets(eps, self.manifest)
        return self._running().run({"image": batch, "eps": budgets})

    def _running(self) -> Execution:
        if self._execution is None:
            raise LipdeployError("the session is closed; open the plan again")
        return self._execution

    def disclaim(self) -> None:
        """See `Session.disclaim`."""
        self.manifest = disclaimed(self.manifest)

    def close(self) -> None:
        """Free the device."""
        if self._execution is not None:
            self._execution.close()
        self._execution = None


def problem() -> str:
    """Why no plan can run on this machine; empty if one can."""
    if tf32_forced():
        return TF32_FORCED
    try:
        load_tensorrt()
        find_gpu()
        load_cuda()
    except ArtefactError as error:
        return str(error)
    return ""


def open_plan(path: Path, threads: int = 0) -> TensorRtSession:
    """Load a plan of `lipdeploy build`; nothing touches the device before everything fits.

    Args:
        path: the plan; its record lies beside it.
        threads: ignored, a GPU has its own.

    Raises:
        ArtefactError: built with another TensorRT or for another device; no GPU.
        InputError: no such file.
        VerificationError: not whole, not this model's, or the record was edited.
    """
    plan = read_plan(path)
    trt, gpu = matching_tensorrt(plan), matching_gpu(plan)
    if tf32_forced():
        raise ArtefactError(f"plan {plan.name} is not run: {TF32_FORCED}")
    execution = Execution(trt, plan.data, plan.name)
    manifest, standing = claim(plan, gpu)
    return _session(execution, plan.name, engine_name(trt, gpu), manifest, standing)


def open_bytes(trt: TensorRt, gpu: Gpu, plan: bytes, name: str, file: ModelFile) -> TensorRtSession:
    """Load a plan that was built from `file`, to compare it; claims nothing.

    Raises:
        ArtefactError: it cannot be loaded here.
        VerificationError: its tensors are not those of the file.
    """
    execution = Execution(trt, plan, name)
    standing = dataclasses.replace(file.standing, doubt=file.standing.doubt or IN_MEMORY)
    return _session(execution, name, engine_name(trt, gpu), disclaimed(file.manifest), standing)


def open_model(file: ModelFile, threads: int) -> TensorRtSession:
    """See `lipdeploy.runtime.session.Engine.open_model`; builds in memory, so claims nothing."""
    trt, gpu = load_tensorrt(), find_gpu()
    return open_bytes(trt, gpu, build_plan(trt, file.data, file.name).plan, file.name, file)


def open_graph(data: bytes, threads: int) -> Run:
    """See `lipdeploy.runtime.session.Engine.open_graph`."""
    trt = load_tensorrt()
    find_gpu()
    execution = Execution(trt, build_plan(trt, data, "in memory").plan, "in memory")

    def run(
        outputs: Sequence[str], feeds: Mapping[str, npt.NDArray[Any]]
    ) -> list[npt.NDArray[Any]]:
        found = execution.run(feeds)
        return [found[name] for name in outputs]

    return run


def engine_name(trt: TensorRt, gpu: Gpu) -> str:
    """Family, version and device; the last word is the kind of device."""
    return f"{trt.flavour} {trt.version} {gpu.name} GPU"


def _session(
    execution: Execution, name: str, engine: str, manifest: Manifest, standing: Standing
) -> TensorRtSession:
    try:
        _check_interface(execution, manifest, name)
    except BaseException:
        execution.close()
        raise
    return TensorRtSession(execution, name, engine, manifest, standing)


def _check_interface(execution: Execution, manifest: Manifest, name: str) -> None:
    frame = (1, manifest.height, manifest.width)
    expected = {
        "image": (True, (*frame, 3), np.dtype(np.uint8)),
        "eps": (True, (manifest.budgets,), np.dtype(np.float32)),
        "mask": (False, frame, np.dtype(np.uint8)),
        "radius": (False, frame, np.dtype(np.float32)),
        "flips": (False, (1, manifest.budgets), np.dtype(np.float32)),
    }
    found = {b.name: (b.is_input, b.shape, b.dtype) for b in execution.bindings.values()}
    for tensor, wanted in expected.items():
        if found.get(tensor) != wanted:
            raise VerificationError(
                f"plan {name}: tensor {tensor!r} is {found.get(tensor, 'missing')}, its record "
                f"promises {wanted}; build it again"
            )
    extra = set(found) - set(expected) - {"logits"}
    if extra:
        raise VerificationError(f"plan {name} has unknown tensors {sorted(extra)}; build it again")
