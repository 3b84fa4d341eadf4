"""ONNX Runtime on the CPU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from lipdeploy.runtime.engine_session import (
    EngineSession,
    Interface,
    check_interface,
    check_metadata,
    unloadable,
)
from lipdeploy.runtime.model_file import ModelFile
from lipdeploy.runtime.session import Run

ENGINE = f"onnxruntime {onnxruntime.__version__} CPU"

_ERRORS_ONLY = 4
_TYPES = {"tensor(uint8)": "uint8", "tensor(float)": "float32"}


def open_model(file: ModelFile, threads: int) -> EngineSession:
    """See `lipdeploy.runtime.session.Engine.open_model`."""
    try:
        session = cpu_session(file.data, threads)
    except Exception as error:  # ONNX Runtime raises a dozen unrelated types here
        raise unloadable(file, str(error).strip().splitlines()[0]) from error
    check_session(session, file)
    return EngineSession(file, ENGINE, runner(session))


def open_graph(data: bytes, threads: int) -> Run:
    """See `lipdeploy.runtime.session.Engine.open_graph`."""
    return runner(cpu_session(data, threads))


def session_options(threads: int) -> onnxruntime.SessionOptions:
    """What holds on every device."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    # Left to guess, it runs the FlatBuffers half of a file that is valid in both formats.
    options.add_session_config_entry("session.load_model_format", "ONNX")
    options.intra_op_num_threads = threads
    # Threads that spin between operators take the cores that decode, draw and encode: on two busy
    # cores a frame of the stream cost 72 ms of processor time with spinning, 46 ms without.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def cpu_session(data: bytes, threads: int) -> onnxruntime.InferenceSession:
    """A session that cannot run anywhere but on the CPU; raises whatever ONNX Runtime does."""
    options = session_options(threads)
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def runner(session: onnxruntime.InferenceSession) -> Run:
    """The session as a function of arrays."""

    def run(
        outputs: Sequence[str], feeds: Mapping[str, npt.NDArray[Any]]
    ) -> list[npt.NDArray[Any]]:
        return [np.asarray(found) for found in session.run(list(outputs), dict(feeds))]

    return run


def check_session(session: onnxruntime.InferenceSession, file: ModelFile) -> None:
    """The session must have read what the file says of itself.

    Raises:
        VerificationError: other metadata, inputs or outputs.
    """
    check_metadata(session.get_modelmeta().custom_metadata_map, file)
    check_interface(_ports(session.get_inputs()), _ports(session.get_outputs()), file)


def _ports(nodes: Sequence[Any]) -> Interface:
    return {node.name: (_TYPES.get(node.type, node.type), list(node.shape)) for node in nodes}
