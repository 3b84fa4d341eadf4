"""One TensorRT engine on one GPU: its buffers, its stream and its CUDA graph.

Everything on the device is owned here and freed by `close`. CUDA is reached through cuda-python
(`cuda.bindings`), whose functions return an error code first.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lipdeploy.core.errors import ArtefactError, LipdeployError
from lipdeploy.runtime.dlpack import CUDA, DeviceArray
from lipdeploy.runtime.tensorrt_api import TensorRt, message_log

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Binding:
    """An input or output of the engine, and its buffer on the device.

    Attributes:
        name: of the tensor.
        is_input: or output.
        shape: static.
        dtype: as NumPy knows it.
        address: of the buffer.
    """

    name: str
    is_input: bool
    shape: Shape
    dtype: np.dtype[Any]
    address: int

    @property
    def nbytes(self) -> int:
        """Size of the buffer."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize


def load_cuda() -> Any:
    """The runtime API of cuda-python.

    Raises:
        ArtefactError: it is not installed.
    """
    try:
        return importlib.import_module("cuda.bindings.runtime")
    except ImportError as error:
        raise ArtefactError(
            f"cuda-python cannot be loaded ({error}); pip install 'lipdeploy[tensorrt]'"
        ) from error


class Execution:
    """A plan, deserialised and ready; not for use by two threads at a time."""

    def __init__(self, trt: TensorRt, plan: bytes, name: str) -> None:
        """Load the plan and reserve the memory of its inputs and outputs.

        Raises:
            ArtefactError: TensorRT refuses the plan, or CUDA fails.
        """
        self.cuda = load_cuda()
        self.bindings: dict[str, Binding] = {}
        self._stream: Any = None
        self._graph: Any = None
        self._warm = False
        log, self._messages = message_log(trt)
        self._log = log  # TensorRT keeps no reference of its own
        try:
            self._runtime = trt.module.Runtime(log)
        except TypeError as error:  # the bindings' way to say that they have got none
            raise ArtefactError(f"{trt.title} does not start here ({self._last()})") from error
        self._engine = self._runtime.deserialize_cuda_engine(plan)
        if self._engine is None:
            raise ArtefactError(f"plan {name} is refused by {trt.title} ({self._last()})")
        self._context = self._engine.create_execution_context()
        if self._context is None:
            raise ArtefactError(f"plan {name} needs more memory than is free ({self._last()})")
        try:
            self._stream = self._call("cudaStreamCreateWithFlags", self.cuda.cudaStreamNonBlocking)
            for index in range(self._engine.num_io_tensors):
                self._bind(trt, self._engine.get_tensor_name(index))
        except BaseException:
            self.close()
            raise

    def _bind(self, trt: TensorRt, name: str) -> None:
        shape = tuple(int(side) for side in self._engine.get_tensor_shape(name))
        dtype = np.dtype(trt.module.nptype(self._engine.get_tensor_dtype(name)))
        is_input = self._engine.get_tensor_mode(name) == trt.module.TensorIOMode.INPUT
        size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        if min(shape, default=1) < 0:
            raise ArtefactError(f"tensor {name!r} has shape {shape}, expected a static one")
        address = int(self._call("cudaMalloc", max(size, 1)))
        self.bindings[name] = Binding(name, is_input, shape, dtype, address)
        if not self._context.set_tensor_address(name, address):
            raise ArtefactError(f"TensorRT does not take the buffer of {name!r} ({self._last()})")

    def run(self, feeds: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        """Copy inputs to the device, execute, copy every output back.

        Raises:
            LipdeployError: CUDA or TensorRT failed.
        """
        for name, value in feeds.items():
            self.put(name, value)
        self.execute()
        return {b.name: self.get(b.name) for b in self.bindings.values() if not b.is_input}

    def put(self, name: str, value: npt.NDArray[Any]) -> None:
        """Copy an array of the right shape and type into an input.

        Raises:
            LipdeployError: another shape or type, or CUDA failed.
        """
        binding = self.bindings[name]
        array = np.ascontiguousarray(value)
        if array.shape != binding.shape or array.dtype != binding.dtype:
            raise LipdeployError(
                f"input {name!r} is {array.dtype} {array.shape}, expected {binding.dtype} "
                f"{binding.shape}"
            )
        self._copy(binding.address, array.ctypes.data, array.nbytes, "cudaMemcpyHostToDevice")

    def put_address(self, name: str, address: int, nbytes: int) -> None:
        """Copy memory of the host or the device into an input; from the device not over the host.

        Raises:
            LipdeployError: another size, or CUDA failed.
        """
        binding = self.bindings[name]
        if nbytes != binding.nbytes:
            raise LipdeployError(f"input {name!r} takes {binding.nbytes} bytes, got {nbytes}")
        self._copy(binding.address, address, nbytes, "cudaMemcpyDefault")

    def get(self, name: str) -> npt.NDArray[Any]:
        """Copy an output to the host."""
        binding = self.bindings[name]
        array: npt.NDArray[Any] = np.empty(binding.shape, binding.dtype)
        self._copy(array.ctypes.data, binding.address, array.nbytes, "cudaMemcpyDeviceToHost")
        return array

    def view(self, name: str, device: int = 0) -> DeviceArray:
        """The buffer of a tensor as it lies on the device; the next frame overwrites it."""
        binding = self.bindings[name]
        return DeviceArray(binding.address, binding.shape, binding.dtype, (CUDA, device), self)

    def execute(self) -> None:
        """Run on what the inputs hold, and wait for the end.

        The first run sets up what TensorRT sets up lazily; the second is captured as a CUDA graph,
        which saves the launches of a network of many small kernels.
        """
        if self._graph is not None:
            self._call("cudaGraphLaunch", self._graph, self._stream)
        else:
            self._enqueue()
        self._call("cudaStreamSynchronize", self._stream)
        if not self._warm:
            self._warm = True
            self._graph = self._captured()

    @property
    def uses_graph(self) -> bool:
        """Whether a CUDA graph was captured."""
        return self._graph is not None

    def _enqueue(self) -> None:
        if not self._context.execute_async_v3(int(self._stream)):
            raise LipdeployError(f"TensorRT could not run the plan ({self._last()})")

    def _captured(self) -> Any:
        """An executable graph; None where this plan cannot be captured, and runs without."""
        mode = self.cuda.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self._call("cudaStreamBeginCapture", self._stream, mode)
        try:
            self._enqueue()
        except LipdeployError:
            self.cuda.cudaStreamEndCapture(self._stream)
            return None
        code, graph = self.cuda.cudaStreamEndCapture(self._stream)
        if int(code) or not int(graph):
            return None
        code, executable = self.cuda.cudaGraphInstantiate(graph, 0)
        self.cuda.cudaGraphDestroy(graph)
        return None if int(code) else executable

    def _copy(self, target: int, source: int, nbytes: int, kind: str) -> None:
        direction = getattr(self.cuda.cudaMemcpyKind, kind)
        self._call("cudaMemcpyAsync", target, source, nbytes, direction, self._stream)
        self._call("cudaStreamSynchronize", self._stream)

    def _call(self, name: str, *arguments: Any) -> Any:
        """The value of a CUDA function.

        Raises:
            ArtefactError: out of memory, or no device.
            LipdeployError: any other failure.
        """
        code, *values = getattr(self.cuda, name)(*arguments)
        if int(code) in (2, 35, 100):  # memory, driver too old, no device
            raise ArtefactError(f"{name} failed: {self._words(code)}; see `lipdeploy doctor`")
        if int(code):
            raise LipdeployError(f"{name} failed: {self._words(code)}")
        return values[0] if values else None

    def _words(self, code: Any) -> str:
        words = self.cuda.cudaGetErrorString(code)[1]
        text = words.decode() if isinstance(words, bytes) else str(words)
        return f"{text} (CUDA error {int(code)})"

    def _last(self) -> str:
        return self._messages[-1][:200] if self._messages else "without a word"

    def close(self) -> None:
        """Free everything; a second call does nothing."""
        self._context = self._engine = self._runtime = None
        releases: list[tuple[Callable[..., Any], Any]] = [
            (self.cuda.cudaFree, b.address) for b in self.bindings.values()
        ]
        self.bindings = {}
        if self._graph is not None:
            releases.insert(0, (self.cuda.cudaGraphExecDestroy, self._graph))
        if self._stream is not None:
            releases.append((self.cuda.cudaStreamDestroy, self._stream))
        self._graph = self._stream = None
        for release, value in releases:
            with contextlib.suppress(Exception):  # the next must be freed all the same
                release(value)
