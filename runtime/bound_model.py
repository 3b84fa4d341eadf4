"""An ONNX Runtime session with its buffers: on a device, allocated once, at addresses that stay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from lipdeploy.core.errors import ArtefactError, InputError

_TYPES: dict[str, type[np.generic]] = {"tensor(uint8)": np.uint8, "tensor(float)": np.float32}


@dataclass(frozen=True)
class DeviceOutputs:
    """The outputs where the engine wrote them; each speaks DLPack, `torch.from_dlpack(x.mask)`.

    They belong to the session: the next inference writes over them.

    Attributes:
        mask: uint8, shape (1, H, W).
        radius: float32, shape (1, H, W).
        flips: float32, shape (1, E).
    """

    mask: Any
    radius: Any
    flips: Any


class BoundModel:
    """Runs a session of static shapes through IOBinding; not for several threads at a time.

    Args:
        session: the session.
        device: `cpu` or `cuda`, where the buffers are.
        fixed: the addresses are recorded (CUDA graph), so inputs are copied into the own buffers
            even where they are on the device already.
    """

    def __init__(
        self, session: onnxruntime.InferenceSession, device: str, fixed: bool = False
    ) -> None:
        self._session, self._device, self._fixed = session, device, fixed
        self._inputs = {node.name: self._buffer(node) for node in session.get_inputs()}
        self._outputs = {node.name: self._buffer(node) for node in session.get_outputs()}
        self._binding = session.io_binding()
        for name, value in self._inputs.items():
            self._binding.bind_ortvalue_input(name, value)
        for name, value in self._outputs.items():
            self._binding.bind_ortvalue_output(name, value)

    def run(
        self, outputs: Sequence[str], feeds: Mapping[str, npt.NDArray[Any]]
    ) -> list[npt.NDArray[Any]]:
        """From arrays to arrays of the caller's own, see `lipdeploy.runtime.session.Run`."""
        for name, array in feeds.items():
            self._inputs[name].update_inplace(np.ascontiguousarray(array))
        self._session.run_with_iobinding(self._binding)
        return [np.array(self._outputs[name].numpy()) for name in outputs]

    def run_shared(self, image: Any, eps: npt.NDArray[np.float32]) -> DeviceOutputs:
        """From an image in the device's memory to outputs there.

        Without recorded addresses the image is read where it is; else it is copied within the
        device.

        Args:
            image: speaks DLPack; type and shape of the input `image`.
            eps: float32, shape (E,).

        Raises:
            ArtefactError: this ONNX Runtime does not speak DLPack.
            InputError: another type, shape or device.
        """
        shared = self._shared(image)
        self._inputs["eps"].update_inplace(eps)
        if self._fixed:
            self._inputs["image"].update_inplace(shared)
            self._session.run_with_iobinding(self._binding)
        else:
            self._run_in_place(shared)
        return DeviceOutputs(*(self._outputs[name] for name in ("mask", "radius", "flips")))

    def _run_in_place(self, image: Any) -> None:
        self._binding.bind_ortvalue_input("image", image)
        try:
            self._session.run_with_iobinding(self._binding)
        finally:  # the caller's memory must not be read again
            self._binding.bind_ortvalue_input("image", self._inputs["image"])

    def _shared(self, image: Any) -> Any:
        """The caller's memory as ONNX Runtime sees it."""
        if not hasattr(onnxruntime.OrtValue, "from_dlpack"):
            version = onnxruntime.__version__
            raise ArtefactError(f"onnxruntime {version} has no DLPack; pip install -U onnxruntime")
        try:
            value = onnxruntime.OrtValue.from_dlpack(image)
        except (RuntimeError, TypeError, BufferError) as error:
            what = f"{type(image).__name__} ({str(error).splitlines()[0][:100]})"
            raise InputError(f"image is {what}; expected a contiguous DLPack tensor") from error
        own = self._inputs["image"]
        found, expected = _described(value), _described(own)
        if found != expected:
            raise InputError(f"image is {found}; expected {expected}; move or resize it first")
        return value

    def _buffer(self, node: Any) -> Any:
        return onnxruntime.OrtValue.ortvalue_from_shape_and_type(
            list(node.shape), _TYPES[node.type], self._device, 0
        )


def _described(value: Any) -> str:
    return f"{value.data_type()} {list(value.shape())} on {value.device_name()}"
