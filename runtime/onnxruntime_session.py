"""ONNX Runtime on the CPU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from lipdeploy.core.errors import LipdeployError, VerificationError
from lipdeploy.core.manifest import Manifest
from lipdeploy.runtime.model_file import ModelFile, disclaimed
from lipdeploy.runtime.session import (
    Prediction,
    Run,
    checked_budgets,
    checked_image,
    prediction_from_outputs,
)

ENGINE = f"onnxruntime {onnxruntime.__version__} CPU"

_OUTPUTS = ["mask", "radius", "flips"]
_ERRORS_ONLY = 4


class OnnxRuntimeSession:
    """A lipdeploy `.onnx` file in ONNX Runtime; implements `Session`."""

    engine = ENGINE

    def __init__(self, session: onnxruntime.InferenceSession, file: ModelFile) -> None:
        self._session: onnxruntime.InferenceSession | None = session
        self.manifest = file.claimable
        self.name = file.name
        self.standing = file.standing

    def infer(self, image: npt.NDArray[np.uint8], eps: Sequence[float]) -> Prediction:
        """See `Session.infer`."""
        if self._session is None:
            raise LipdeployError("the session is closed; open the model again")
        feed = {
            "image": checked_image(image, self.manifest),
            "eps": checked_budgets(eps, self.manifest),
        }
        mask, radius, flips = self._session.run(_OUTPUTS, feed)
        if int(mask.max()) >= len(self.manifest.class_names):
            raise VerificationError(
                f"the model predicted class id {int(mask.max())}, its metadata names only "
                f"{len(self.manifest.class_names)} classes; export it again"
            )
        return prediction_from_outputs(mask, radius, flips)

    def disclaim(self) -> None:
        """See `Session.disclaim`."""
        self.manifest = disclaimed(self.manifest)

    def close(self) -> None:
        """Release the engine."""
        self._session = None

    def __enter__(self) -> OnnxRuntimeSession:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def open_model(file: ModelFile, threads: int) -> OnnxRuntimeSession:
    """See `lipdeploy.runtime.session.Engine.open_model`."""
    try:
        session = _session(file.data, threads)
    except Exception as error:  # ONNX Runtime raises a dozen unrelated types here
        first = str(error).strip().splitlines()[0][:200]
        raise VerificationError(
            f"model {file.name} cannot be loaded as ONNX ({first}); export it again"
        ) from error
    if session.get_modelmeta().custom_metadata_map != dict(file.content.metadata):
        raise VerificationError(
            f"model {file.name}: the engine reads other metadata than the file holds; "
            "export it again"
        )
    _check_interface(session, file.manifest, file.name)
    return OnnxRuntimeSession(session, file)


def open_graph(data: bytes, threads: int) -> Run:
    """See `lipdeploy.runtime.session.Engine.open_graph`."""
    session = _session(data, threads)

    def run(
        outputs: Sequence[str], feeds: Mapping[str, npt.NDArray[Any]]
    ) -> list[npt.NDArray[Any]]:
        return [np.asarray(found) for found in session.run(list(outputs), dict(feeds))]

    return run


def _session(data: bytes, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    # Left to guess, it runs the FlatBuffers half of a file that is valid in both formats.
    options.add_session_config_entry("session.load_model_format", "ONNX")
    options.intra_op_num_threads = threads
    # Threads that spin between operators take the cores that decode, draw and encode: on two busy
    # cores a frame of the stream cost 72 ms of processor time with spinning, 46 ms without.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def _check_interface(session: onnxruntime.InferenceSession, manifest: Manifest, model: str) -> None:
    size = [1, manifest.height, manifest.width]
    inputs = {
        "image": ("tensor(uint8)", [*size, 3]),
        "eps": ("tensor(float)", [manifest.budgets]),
    }
    outputs = {
        "mask": ("tensor(uint8)", size),
        "radius": ("tensor(float)", size),
        "flips": ("tensor(float)", [1, manifest.budgets]),
    }
    _compare("input", session.get_inputs(), inputs, model, exact=True)
    _compare("output", session.get_outputs(), outputs, model, exact=False)


def _compare(
    kind: str,
    nodes: Sequence[Any],
    expected: dict[str, tuple[str, list[int]]],
    model: str,
    exact: bool,
) -> None:
    found = {node.name: (node.type, list(node.shape)) for node in nodes}
    for name, wanted in expected.items():
        if found.get(name) != wanted:
            raise VerificationError(
                f"model {model}: {kind} {name!r} is {found.get(name, 'missing')}, "
                f"its metadata promises {wanted}; export it again"
            )
    if exact and len(found) != len(expected):
        extra = ", ".join(sorted(set(found) - set(expected)))
        raise VerificationError(f"model {model} has unknown {kind}s: {extra}; export it again")
