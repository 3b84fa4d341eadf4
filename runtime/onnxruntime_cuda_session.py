"""ONNX Runtime on an NVIDIA GPU: TF32 off, buffers that stay where they are, no fallback."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import onnxruntime

from lipdeploy.core.errors import ArtefactError, InputError
from lipdeploy.runtime.bound_model import BoundModel, DeviceOutputs
from lipdeploy.runtime.engine_session import EngineSession, unloadable
from lipdeploy.runtime.model_file import ModelFile
from lipdeploy.runtime.onnxruntime_session import check_session, session_options
from lipdeploy.runtime.session import Run, checked_budgets
from lipdeploy.runtime.tf32 import TF32_FORCED, tf32_forced

ENGINE = f"onnxruntime {onnxruntime.__version__} CUDA GPU"
PROVIDER = "CUDAExecutionProvider"

_DEVICE = "cuda"
_INSTALL = "pip uninstall onnxruntime && pip install onnxruntime-gpu"


class CudaSession(EngineSession):
    """A session whose images may already be on the GPU."""

    def __init__(self, file: ModelFile, bound: BoundModel) -> None:
        super().__init__(file, ENGINE, bound.run)
        self._bound = bound

    def infer_on_device(self, image: Any, eps: Sequence[float]) -> DeviceOutputs:
        """Run on an image in the GPU's memory; what comes back stays there, see `DeviceOutputs`.

        Args:
            image: uint8, shape (1, H, W, 3), RGB, contiguous, speaks DLPack. What was started on it
                must be finished: no stream is waited for.
            eps: as in `infer`.

        Raises:
            InputError: another shape or type, another device, or a budget that cannot be used.
        """
        return self._bound.run_shared(image, checked_budgets(eps, self.manifest))


def open_model(file: ModelFile, threads: int, cuda_graph: bool = True) -> CudaSession:
    """See `lipdeploy.runtime.session.Engine.open_model`.

    Args:
        file: the model.
        threads: of what runs on the CPU.
        cuda_graph: record the launches of the first frame and play them back for the others.
            Every lipdeploy file has static shapes, so this is always possible.

    Raises:
        ArtefactError: no GPU, or ONNX Runtime would run a part of the model on the CPU.
        VerificationError: the model cannot be loaded, or is read otherwise than it is.
    """
    session = _opened(file, threads, cuda_graph)
    check_session(session, file)
    return CudaSession(file, BoundModel(session, _DEVICE, fixed=cuda_graph))


def open_graph(data: bytes, threads: int) -> Run:
    """See `lipdeploy.runtime.session.Engine.open_graph`."""
    return BoundModel(_session(data, threads, cuda_graph=False), _DEVICE).run


def problem() -> str:
    """Why this engine cannot run on this machine; empty if it can."""
    if PROVIDER not in onnxruntime.get_available_providers():
        return f"the onnxruntime that is installed has no CUDA provider; {_INSTALL}"
    if tf32_forced():
        return TF32_FORCED
    try:
        status = ctypes.CDLL("libcuda.so.1").cuInit(0)
    except OSError:
        return "there is no NVIDIA driver (libcuda.so.1); install it"
    return f"the NVIDIA driver finds no GPU (CUDA error {status}); see nvidia-smi" if status else ""


def _opened(file: ModelFile, threads: int, cuda_graph: bool) -> onnxruntime.InferenceSession:
    try:
        return _session(file.data, threads, cuda_graph)
    except (ArtefactError, InputError):
        raise
    except Exception as error:  # ONNX Runtime raises a dozen unrelated types here
        raise unloadable(file, str(error).strip().splitlines()[0]) from error


def _session(data: bytes, threads: int, cuda_graph: bool) -> onnxruntime.InferenceSession:
    """Load a model for the GPU alone.

    Raises:
        ArtefactError: a part of it would run elsewhere.
    """
    missing = problem()
    if missing:
        raise ArtefactError(f"engine 'onnxruntime-cuda' cannot be used: {missing}")
    options = session_options(threads)
    # Without this, operators without a CUDA kernel run on the CPU, where nothing was measured.
    options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    provider = (PROVIDER, _provider_options(cuda_graph))
    try:
        # Its Python half has a second fallback, which tries again on the CPU, also in `run`.
        session = onnxruntime.InferenceSession(
            data, options, providers=[provider], enable_fallback=0
        )
    except Exception as error:
        if "fallback" in str(error).lower():
            raise ArtefactError(_fallback("some operators have no CUDA kernel")) from error
        raise
    check_placed(session)
    return session


def check_placed(session: Any) -> None:
    """The session must run on the GPU: where CUDA fails to start, ONNX Runtime takes the CPU.

    Raises:
        ArtefactError: it does not.
    """
    providers = list(session.get_providers())
    if providers[:1] != [PROVIDER]:
        raise ArtefactError(_fallback(f"CUDA did not start, it took {', '.join(providers)}"))


def _provider_options(cuda_graph: bool) -> dict[str, str]:
    return {
        "use_tf32": "0",  # on by default; keeps 10 of float32's 23 bits
        # The search by trial may end with another algorithm, and another rounding, in each process.
        "cudnn_conv_algo_search": "DEFAULT",
        "enable_cuda_graph": str(int(cuda_graph)),
    }


def _fallback(what: str) -> str:
    return (
        f"ONNX Runtime would not run the model on the GPU ({what}); "
        "check CUDA and cuDNN with `lipdeploy doctor`, or run with --engine onnxruntime"
    )
