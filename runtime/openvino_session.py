"""OpenVINO on the CPU, in float32 and nothing less.

Left to itself OpenVINO computes in bf16 or f16 where the processor offers it. That is asked not to
happen, and after compilation every operator is checked for it: a certificate measured in float32
must not run in less.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from lipdeploy.core.errors import ArtefactError, VerificationError
from lipdeploy.runtime.engine_session import (
    EngineSession,
    Interface,
    check_interface,
    check_metadata,
    unloadable,
)
from lipdeploy.runtime.model_file import ModelFile
from lipdeploy.runtime.openvino_package import openvino
from lipdeploy.runtime.session import Run

ENGINE = f"openvino {openvino.__version__.partition('-')[0]} CPU"

_TYPES = {"u8": "uint8", "f32": "float32"}
_FEWER_BITS = {"bf16", "f16"}
_MOVES_DATA = {"Const", "Input", "Output", "Reorder", "Convert"}  # half weights are no arithmetic


def open_model(file: ModelFile, threads: int) -> EngineSession:
    """See `lipdeploy.runtime.session.Engine.open_model`.

    Raises:
        ArtefactError: this device would compute in less than float32.
        VerificationError: OpenVINO cannot load the file, or reads it otherwise than it is.
    """
    try:
        model = _core().read_model(file.data)
        compiled = compiled_model(model, threads)
    except (ArtefactError, VerificationError):
        raise
    except Exception as error:  # OpenVINO raises RuntimeError, with the reason in its last line
        raise unloadable(file, _reason(error)) from error
    check_metadata(_metadata(model), file)
    check_interface(_ports(compiled.inputs), _ports(compiled.outputs), file)
    return EngineSession(file, ENGINE, _runner(compiled))


def open_graph(data: bytes, threads: int) -> Run:
    """See `lipdeploy.runtime.session.Engine.open_graph`."""
    return _runner(compiled_model(_core().read_model(data), threads))


_once = threading.Lock()


def _core() -> Any:
    """The one Core of the process; threads that ask at once get the same."""
    with _once:
        return _made_core()


@functools.cache
def _made_core() -> Any:
    """A Core that is kept to the end of the process.

    Every Core hands the thread that first compiles with it a stack for signal handlers, and unmaps
    that stack when it goes, also where a later Core has remembered it as the one to put back. Of
    two Cores the older may so leave the thread without one: the next signal that Python handles,
    Ctrl-C or the end of a child process, kills the process (OpenVINO 2026).
    """
    return openvino.Core()


def compiled_model(model: Any, threads: int) -> Any:
    """Compile for the CPU in float32.

    Raises:
        ArtefactError: OpenVINO would compute in less.
        RuntimeError: whatever else OpenVINO finds.
    """
    options = {
        "INFERENCE_PRECISION_HINT": "f32",
        "EXECUTION_MODE_HINT": "ACCURACY",
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": "1",
    }
    if threads:
        options["INFERENCE_NUM_THREADS"] = str(threads)
    compiled = _core().compile_model(model, "CPU", options)
    check_float32(
        compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name(),
        precisions(compiled.get_runtime_model()),
    )
    return compiled


def precisions(model: Any) -> dict[str, str]:
    """What each operator of a compiled graph computes in, by name."""
    found = {}
    for operator in model.get_ops():
        info = {key: operator.get_rt_info()[key].astype(str) for key in _KEYS}
        if info["layerType"] not in _MOVES_DATA:
            found[operator.get_friendly_name()] = info["runtimePrecision"]
    return found


_KEYS = ("layerType", "runtimePrecision")


def check_float32(hint: str, found: Mapping[str, str]) -> None:
    """Nothing may be computed in half precision.

    Args:
        hint: precision that OpenVINO says it infers in.
        found: precision by operator.

    Raises:
        ArtefactError: it is, somewhere.
    """
    fewer = [f"{name} in {kind}" for name, kind in found.items() if kind in _FEWER_BITS]
    if hint != "f32" or fewer:
        what = fewer[0] if fewer else f"everything in {hint}"
        raise ArtefactError(
            f"OpenVINO would compute {what} on this device, where float32 was asked for; "
            "run with --engine onnxruntime"
        )


def _runner(compiled: Any) -> Run:
    """The compiled model as a function of arrays; one call at a time, since it has one request."""
    request = compiled.create_infer_request()
    turn = threading.Lock()

    def run(
        outputs: Sequence[str], feeds: Mapping[str, npt.NDArray[Any]]
    ) -> list[npt.NDArray[Any]]:
        with turn:
            # The inputs are read in place; what is returned is copied out of the request's memory.
            request.infer(dict(feeds), share_inputs=True)
            return [np.array(request.get_tensor(name).data) for name in outputs]

    return run


def _ports(ports: Sequence[Any]) -> Interface:
    return {
        name: (_TYPES.get(kind, kind), list(port.shape))
        for port in ports
        for name, kind in [(_name(port), port.element_type.get_type_name())]
    }


def _name(port: Any) -> str:
    """The name that the contract knows, where a port has several."""
    names = sorted(port.get_names())
    known = [name for name in names if name in ("image", "eps", "mask", "radius", "flips")]
    return str((known or names or ["?"])[0])


def _metadata(model: Any) -> dict[str, str]:
    """What the ONNX reader kept of the file's metadata."""
    found: Mapping[str, Any] = dict(model.rt_info).get("framework", {})
    return {key: str(getattr(value, "value", value)) for key, value in found.items()}


def _reason(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
