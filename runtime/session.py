"""What a model that can be run looks like, whatever engine runs it."""

from __future__ import annotations

import importlib
import importlib.util
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from lipdeploy.core.errors import ArtefactError, InputError, VerificationError
from lipdeploy.core.manifest import Manifest
from lipdeploy.core.record import Standing
from lipdeploy.core.single_precision import float32_up
from lipdeploy.runtime.measured_engines import remedy
from lipdeploy.runtime.model_file import ModelFile, read_model


@dataclass(frozen=True)
class _Known:
    """An engine that this version can drive: its module, the package it needs, how to get that.

    No package: the module itself says what is missing.
    """

    module: str
    package: str
    install: str
    plans: bool = False  # runs plans that were built from `.onnx` files, not these files


_ENGINES = {
    "onnxruntime": _Known(
        "lipdeploy.runtime.onnxruntime_session", "onnxruntime", "pip install onnxruntime"
    ),
    "onnxruntime-cuda": _Known(
        "lipdeploy.runtime.onnxruntime_cuda_session",
        "onnxruntime",
        "pip uninstall onnxruntime && pip install onnxruntime-gpu",
    ),
    "openvino": _Known(
        "lipdeploy.runtime.openvino_session", "openvino", 'pip install "lipdeploy[openvino]"'
    ),
    "tensorrt": _Known(
        "lipdeploy.runtime.tensorrt_session",
        "",
        "JetPack brings TensorRT; elsewhere `pip install tensorrt` or `pip install tensorrt-rtx`",
        plans=True,
    ),
}
_DEFAULT, _PLANS = "onnxruntime", "tensorrt"
PLAN_SUFFIXES = (".engine", ".plan")

Run = Callable[[Sequence[str], Mapping[str, npt.NDArray[Any]]], list[npt.NDArray[Any]]]
"""Names of outputs and arrays by name of input, to the outputs."""


@dataclass(frozen=True)
class Prediction:
    """What the model says of one image.

    Attributes:
        mask: class id of each pixel, shape (H, W), uint8.
        radius: l2 radius of each pixel, shape (H, W), float32, >= 0, never NaN.
        flips: upper bound on the pixels that each budget can change, shape (E,), float32, 0..H*W.
    """

    mask: npt.NDArray[np.uint8]
    radius: npt.NDArray[np.float32]
    flips: npt.NDArray[np.float32]


class Session(Protocol):
    """A model loaded into an engine; closes as a context manager."""

    @property
    def manifest(self) -> Manifest:
        """What the model file says of itself; the level is `none` without a valid record."""

    @property
    def name(self) -> str:
        """The file that was opened, for messages."""

    @property
    def standing(self) -> Standing:
        """Whether a verification record vouches for the file."""

    @property
    def engine(self) -> str:
        """Name, version and device of the engine, for example `onnxruntime 1.32.0 CPU`."""

    def infer(self, image: npt.NDArray[np.uint8], eps: Sequence[float]) -> Prediction:
        """Segment one RGB image of shape (H, W, 3) and bound its flips under each budget.

        Raises:
            InputError: wrong shape or type, or a budget that is negative or not finite.
        """

    def disclaim(self) -> None:
        """Set the level to `none`: from now on nothing is claimed."""

    def close(self) -> None:
        """Release the engine; further calls of `infer` fail."""

    def __enter__(self) -> Session: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class Engine(Protocol):
    """What the module of an engine offers; both take bytes, so that no path is opened twice.

    It may also offer `problem() -> str`: why the engine cannot run on this machine, with what to do
    about it; empty if it can. One that runs plans offers `open_plan(path, threads) -> Session`.
    """

    ENGINE: str

    def open_model(self, file: ModelFile, threads: int) -> Session:
        """Load a lipdeploy model.

        Raises:
            ArtefactError: the engine cannot run it on this device as promised.
            VerificationError: the engine cannot load it, or reads it otherwise than it is.
        """

    def open_graph(self, data: bytes, threads: int) -> Run:
        """Load any ONNX model, for tests of the engine itself; raises whatever the engine does."""


def engine_names() -> tuple[str, ...]:
    """Every engine that this version can drive, installed or not."""
    return tuple(_ENGINES)


def available_engines() -> tuple[str, ...]:
    """The engines that run `.onnx` files on this machine."""
    return tuple(n for n, known in _ENGINES.items() if not known.plans and not engine_problem(n))


def engine_problem(name: str) -> str:
    """Why an engine cannot be used here, and what to do; empty if it can.

    Raises:
        InputError: there is no engine of this name.
    """
    known = _known(name)
    if not all(map(_is_there, filter(None, (known.package, known.module)))):
        return f"it is not installed; {known.install}"
    try:
        module = importlib.import_module(known.module)
    except (ImportError, OSError, RuntimeError) as error:  # of the engine's own start as well
        return f"it cannot be loaded ({error}); {known.install}"
    return str(getattr(module, "problem", str)())


def engine_module(name: str) -> Engine:
    """The module of an engine.

    Raises:
        ArtefactError: the engine cannot be used on this machine.
        InputError: there is no engine of this name.
    """
    problem = engine_problem(name)
    if problem:
        here = ", ".join(available_engines()) or "none"
        raise ArtefactError(f"engine {name!r} cannot be used: {problem}; available here: {here}")
    found: Any = importlib.import_module(_ENGINES[name].module)
    engine: Engine = found
    return engine


def engine_for(path: Path, engine: str | None = None) -> str:
    """The engine that opens a file: the one asked for, else the default of its kind.

    Raises:
        ArtefactError: a plan for an engine that runs models, or the other way round.
        InputError: there is no engine of this name.
    """
    plan = is_plan(path)
    name = engine or (_PLANS if plan else _DEFAULT)
    if _known(name).plans and not plan:
        raise ArtefactError(
            f"engine {name!r} runs plans, and {path} is none; "
            f"run `lipdeploy build {path} {path.stem}{PLAN_SUFFIXES[0]}` and name that file"
        )
    if plan and not _known(name).plans:
        raise ArtefactError(
            f"{path} is a plan, which engine {name!r} cannot run; "
            "leave --engine out, or name the .onnx file"
        )
    return name


def is_plan(path: Path) -> bool:
    """Whether a file is a plan, by its name."""
    return path.suffix in PLAN_SUFFIXES


def _known(name: str) -> _Known:
    if name in _ENGINES:
        return _ENGINES[name]
    near = get_close_matches(name, _ENGINES, n=1)
    advice = f"did you mean {near[0]!r}?" if near else f"choose from {', '.join(_ENGINES)}"
    raise InputError(f"there is no engine {name!r}; {advice}")


def _is_there(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def open_session(path: Path, engine: str | None = None, threads: int = 0) -> Session:
    """Load a model file into an engine; claims nothing where no valid record vouches for the file.

    The file is read once: what is hashed is what the engine gets.

    Args:
        path: an `.onnx` file of `lipdeploy export`, or a plan of `build` (`.engine`, `.plan`).
        engine: one of `engine_names`; None: `onnxruntime`, for a plan `tensorrt`.
        threads: of one inference; 0 lets the engine choose.

    Raises:
        ArtefactError: the engine cannot be used here, or not for this file.
        InputError: an unknown engine, the file is missing or `threads` is negative.
        VerificationError: the file is no lipdeploy model, or not what it says.
    """
    path = Path(path)
    name = engine_for(path, engine)
    if threads < 0:
        raise InputError(f"threads is {threads}; expected 0 (the engine chooses) or more")
    if _ENGINES[name].plans:  # it looks at the plan first, then says what is missing
        plan: Session = importlib.import_module(_ENGINES[name].module).open_plan(path, threads)
        return plan
    module: Any = engine_module(name)
    session: Session = module.open_model(read_model(path), threads)
    return session


def check_level(session: Session, unverified: bool, trust: Sequence[Path] = ()) -> None:
    """Refuse a model that nothing is known of; with `unverified`, run it without any claim.

    Args:
        session: what was opened.
        unverified: accept any model, and claim nothing whatever it says.
        trust: public keys, one of which must have signed the record; none: signatures are ignored.

    Raises:
        InputError: `trust` together with `unverified`, or a key that cannot be used.
        VerificationError: no valid record, level `none`, or not signed by a trusted key.
    """
    if unverified:
        if trust:
            raise InputError("--trust and --unverified exclude each other; leave one out")
        session.disclaim()
        return
    name = session.name
    if not session.standing.valid:
        raise VerificationError(
            f"model {name} {session.standing.doubt}; "
            f"{_remedy(session)}"
            "or pass --unverified to run it without any claim"
        )
    if session.manifest.numerics.level == "none":
        raise VerificationError(
            f"model {name} is verified at level none only; export it with 1,000 frames or more, "
            "or pass --unverified to run it without any claim"
        )
    if trust:
        check_trust(session.standing, name, trust)


def _remedy(session: Session) -> str:
    """What to do about a doubt; that of a plan says so itself."""
    if session.name.endswith(PLAN_SUFFIXES):
        return ""
    return remedy(session.standing.doubt, session.engine, session.name) + ", "


def check_trust(standing: Standing, name: str, trust: Sequence[Path]) -> Path:
    """The trusted key that signed the record.

    Raises:
        InputError: a key that cannot be used.
        VerificationError: not signed, or by nobody trusted.
    """
    from lipdeploy.runtime.ed25519 import check_signed

    try:
        return check_signed(standing, trust)
    except VerificationError as error:
        raise VerificationError(f"model {name} {error}") from error


def checked_image(image: npt.NDArray[np.uint8], manifest: Manifest) -> npt.NDArray[np.uint8]:
    """The image as the batch the model takes, shape (1, H, W, 3).

    Raises:
        InputError: another shape or type.
    """
    expected = (manifest.height, manifest.width, 3)
    if not isinstance(image, np.ndarray) or image.shape != expected or image.dtype != np.uint8:
        got = f"{getattr(image, 'dtype', type(image).__name__)} {getattr(image, 'shape', '')}"
        raise InputError(f"image is {got}; expected uint8 {expected} RGB; resize it first")
    return np.ascontiguousarray(image)[np.newaxis]


def checked_budgets(eps: Sequence[float], manifest: Manifest) -> npt.NDArray[np.float32]:
    """The budgets in float32, rounded up so that what is claimed covers what was asked.

    Raises:
        InputError: another number of budgets than the model takes, or one below 0 or not finite.
    """
    if len(eps) != manifest.budgets:
        raise InputError(f"got {len(eps)} values of eps; the model takes {manifest.budgets}")
    for value in eps:
        checked_eps(value)
    return float32_up(np.asarray(eps, np.float64))


def checked_eps(eps: float) -> float:
    """The budget itself.

    Raises:
        InputError: it is negative, not finite or beyond 1e18 (float32 cannot square it).
    """
    if not (math.isfinite(eps) and 0 <= eps <= 1e18):
        raise InputError(f"eps is {eps}; expected a finite number, 0 or more (l2, images in [0,1])")
    return abs(float(eps))  # -0.0 is 0


def prediction_from_outputs(
    mask: npt.NDArray[np.uint8], radius: npt.NDArray[np.float32], flips: npt.NDArray[np.float32]
) -> Prediction:
    """Batch outputs as a `Prediction`; what is not a number never claims anything.

    A radius that is NaN or negative becomes 0, a count that is NaN becomes all pixels.
    Shapes: (1, H, W), (1, H, W) and (1, E).
    """
    pixels = float(mask[0].size)
    counts = np.clip(np.ceil(np.nan_to_num(flips[0], nan=pixels)), 0.0, pixels)
    sound = np.fmax(radius[0], np.float32(0))
    return Prediction(mask[0], sound, np.asarray(counts, np.float32))
