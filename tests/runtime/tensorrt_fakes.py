"""TensorRT and CUDA as their bindings look, with ONNX Runtime and host memory behind them.

A "plan" is the ONNX file behind a header; "device" memory is host memory. Names, arguments and
return values are those of tensorrt-rtx 1.4 and 1.7 and cuda-bindings 13.5, as help() has them.
"""

from __future__ import annotations

import ctypes
import enum
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime

from lipdeploy.runtime.tensorrt_api import TensorRt
from lipdeploy.runtime.tensorrt_device import Gpu

HEADER = b"fake plan "
ORIN = Gpu("Orin", "8.7", "12.6")
TYPES = {"tensor(uint8)": np.uint8, "tensor(float)": np.float32}


class Severity(enum.IntEnum):
    INTERNAL_ERROR = 0
    ERROR = 1
    WARNING = 2


class TensorIOMode(enum.Enum):
    NONE = 0
    INPUT = 1
    OUTPUT = 2


class ILogger:
    Severity = Severity

    def __init__(self) -> None:
        self.started = True


class IProgressMonitor:
    def __init__(self) -> None:
        self.started = True


class Config:
    def __init__(self) -> None:
        self.flags = {"TF32"}
        self.pools: dict[str, int] = {}
        self.progress_monitor: Any = None
        self.cache: Any = None

    def clear_flag(self, flag: str) -> None:
        self.flags.discard(flag)

    def set_memory_pool_limit(self, pool: str, size: int) -> None:
        self.pools[pool] = size

    def create_timing_cache(self, data: bytes) -> Any:
        return SimpleNamespace(data=data, serialize=lambda: data + b"timed")

    def set_timing_cache(self, cache: Any, ignore_mismatch: bool) -> bool:
        assert ignore_mismatch is False
        self.cache = cache
        return bool(cache.data != b"of another device")


class Network:
    def __init__(self, flags: int) -> None:
        self.flags = flags
        self.data = b""
        self.inputs: list[Any] = []

    @property
    def num_inputs(self) -> int:
        return len(self.inputs)

    def get_input(self, index: int) -> Any:
        return self.inputs[index]


class Fakes:
    """One machine: what was built, and how the engine misbehaves."""

    def __init__(self) -> None:
        self.configs: list[Config] = []
        self.networks: list[Network] = []
        self.memory: dict[int, Any] = {}
        self.launches = self.enqueued = 0
        self.capturing = False
        self.capturable = True
        self.dynamic = False
        self.refuses = False  # to deserialise
        self.spoil: Any = lambda outputs: outputs
        self.parse_errors: list[str] = []
        self.build_errors: list[str] = []

    def tensorrt(self, flavour: str = "tensorrt", version: str = "10.16.1") -> TensorRt:
        module = SimpleNamespace(
            __version__=version, ILogger=ILogger, IProgressMonitor=IProgressMonitor,
            Builder=partial(Builder, self), OnnxParser=partial(OnnxParser, self),
            Runtime=partial(Runtime, self), TensorIOMode=TensorIOMode,
            NetworkDefinitionCreationFlag=SimpleNamespace(STRONGLY_TYPED=1),
            BuilderFlag=SimpleNamespace(TF32="TF32"),
            MemoryPoolType=SimpleNamespace(WORKSPACE="WORKSPACE"),
            nptype=lambda dtype: dtype,
        )  # fmt: skip
        return TensorRt(flavour, version, module)

    def cuda(self) -> Any:
        """`cuda.bindings.runtime`: an error code first, then the values."""
        fakes = self

        def malloc(size: int) -> tuple[int, int]:
            block = ctypes.create_string_buffer(size)
            fakes.memory[ctypes.addressof(block)] = block
            return 0, ctypes.addressof(block)

        def free(address: int) -> tuple[int]:
            del fakes.memory[address]
            return (0,)

        def copy(target: int, source: int, size: int, kind: str, stream: int) -> tuple[int]:
            ctypes.memmove(target, source, size)
            return (0,)

        def begin(stream: int, mode: str) -> tuple[int]:
            fakes.capturing = True
            return (0,)

        def end(stream: int) -> tuple[int, int]:
            fakes.capturing = False
            return (0, 5) if fakes.capturable else (901, 0)

        def launch(graph: Any, stream: int) -> tuple[int]:
            fakes.launches += 1
            graph()
            return (0,)

        done = lambda *_: (0,)  # noqa: E731
        return SimpleNamespace(
            cudaStreamNonBlocking=1,
            cudaMemcpyKind=SimpleNamespace(
                cudaMemcpyHostToDevice=1, cudaMemcpyDeviceToHost=2, cudaMemcpyDefault=4
            ),
            cudaStreamCaptureMode=SimpleNamespace(cudaStreamCaptureModeThreadLocal=1),
            cudaStreamCreateWithFlags=lambda flags: (0, 7), cudaStreamSynchronize=done,
            cudaStreamDestroy=done, cudaMalloc=malloc, cudaFree=free, cudaMemcpyAsync=copy,
            cudaStreamBeginCapture=begin, cudaStreamEndCapture=end, cudaGraphDestroy=done,
            cudaGraphInstantiate=lambda graph, flags: (0, self.last.execute),
            cudaGraphExecDestroy=done, cudaGraphLaunch=launch,
            cudaGetErrorString=lambda code: (0, b"what CUDA says"),
        )  # fmt: skip

    last: Any = None


class Builder:
    def __init__(self, fakes: Fakes, log: ILogger) -> None:
        assert log.started
        self.fakes, self.log = fakes, log

    def create_network(self, flags: int) -> Network:
        self.fakes.networks.append(Network(flags))
        return self.fakes.networks[-1]

    def create_builder_config(self) -> Config:
        self.fakes.configs.append(Config())
        return self.fakes.configs[-1]

    def build_serialized_network(self, network: Network, config: Config) -> Any:
        for message in self.fakes.build_errors:
            self.log.log(Severity.ERROR, message)  # type: ignore[attr-defined]
        if self.fakes.build_errors:
            return None
        if config.progress_monitor is not None:
            monitor = config.progress_monitor
            monitor.phase_start("Building engine", None, 2)
            monitor.phase_start("inner", "Building engine", 9)
            assert monitor.step_complete("Building engine", 0) is True
            monitor.phase_finish("inner")
            monitor.phase_finish("Building engine")
        return HEADER + network.data


class OnnxParser:
    def __init__(self, fakes: Fakes, network: Network, log: ILogger) -> None:
        self.fakes, self.network, self.num_errors = fakes, network, len(fakes.parse_errors)

    def parse(self, data: bytes) -> bool:
        if self.fakes.parse_errors:
            return False
        session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
        self.network.data, self.network.inputs = data, session.get_inputs()
        if self.fakes.dynamic:
            self.network.inputs = [SimpleNamespace(name="image", shape=(-1, 8, 8, 3))]
        return True

    def get_error(self, index: int) -> Any:
        return SimpleNamespace(desc=lambda: self.fakes.parse_errors[index])


class Runtime:
    def __init__(self, fakes: Fakes, log: ILogger) -> None:
        self.fakes, self.log = fakes, log

    def deserialize_cuda_engine(self, plan: bytes) -> Any:
        if self.fakes.refuses or not plan.startswith(HEADER):
            self.log.log(Severity.ERROR, "magicTag does not match")  # type: ignore[attr-defined]
            return None
        return Engine(self.fakes, plan.removeprefix(HEADER))


class Engine:
    def __init__(self, fakes: Fakes, data: bytes) -> None:
        self.fakes = fakes
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            data, options, providers=["CPUExecutionProvider"]
        )
        self.inputs = {t.name: t for t in self.session.get_inputs()}
        self.tensors: dict[str, Any] = self.inputs | {t.name: t for t in self.session.get_outputs()}
        self.num_io_tensors = len(self.tensors)

    def get_tensor_name(self, index: int) -> str:
        return str(list(self.tensors)[index])

    def get_tensor_shape(self, name: str) -> list[int]:
        return list(self.tensors[name].shape)

    def get_tensor_dtype(self, name: str) -> Any:
        return TYPES[self.tensors[name].type]

    def get_tensor_mode(self, name: str) -> TensorIOMode:
        return TensorIOMode.INPUT if name in self.inputs else TensorIOMode.OUTPUT

    def create_execution_context(self) -> Context:
        return Context(self)


class Context:
    def __init__(self, engine: Engine) -> None:
        self.engine, self.addresses = engine, dict[str, int]()
        engine.fakes.last = self

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.addresses[name] = address
        return True

    def execute_async_v3(self, stream: int) -> bool:
        self.engine.fakes.enqueued += 1
        if not self.engine.fakes.capturing:
            self.execute()
        return True

    def execute(self) -> None:
        names = [t.name for t in self.engine.session.get_outputs()]
        feeds = {name: self.array(name).copy() for name in self.engine.inputs}
        found = dict(zip(names, self.engine.session.run(names, feeds), strict=True))
        for name, value in self.engine.fakes.spoil(found).items():
            self.array(name)[...] = value

    def array(self, name: str) -> Any:
        tensor = self.engine.tensors[name]
        dtype = np.dtype(TYPES[tensor.type])
        size = int(np.prod(tensor.shape)) * dtype.itemsize
        block: Any = (ctypes.c_char * size).from_address(self.addresses[name])
        return np.frombuffer(block, dtype).reshape(tensor.shape)
