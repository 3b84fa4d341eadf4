"""What a model that can be run looks like, whatever engine runs it."""

from __future__ import annotations

import importlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol

import numpy as np
import numpy.typing as npt

from lipdeploy.core.errors import ArtefactError, InputError, VerificationError
from lipdeploy.core.manifest import Manifest

_ENGINES = {"onnxruntime": "lipdeploy.runtime.onnxruntime_session"}


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
        """What the model file says of itself."""

    @property
    def engine(self) -> str:
        """Name, version and device of the engine, for example `onnxruntime 1.32.0 CPU`."""

    def infer(self, image: npt.NDArray[np.uint8], eps: Sequence[float]) -> Prediction:
        """Segment one RGB image of shape (H, W, 3) and bound its flips under each budget.

        Raises:
            InputError: wrong shape or type, or a budget that is negative or not finite.
        """

    def close(self) -> None:
        """Release the engine; further calls of `infer` fail."""

    def __enter__(self) -> Session: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


def open_session(path: Path, engine: str = "onnxruntime", threads: int = 0) -> Session:
    """Load a model file into an engine.

    Args:
        path: an `.onnx` file written by `lipdeploy export`.
        engine: `onnxruntime`.
        threads: of one inference; 0 lets the engine choose.

    Raises:
        ArtefactError: the engine is unknown or not installed.
        InputError: the file is missing or `threads` is negative.
        VerificationError: the file is no lipdeploy model, or not what it says.
    """
    if engine not in _ENGINES:
        raise ArtefactError(f"engine {engine!r} is not available; available: {', '.join(_ENGINES)}")
    if threads < 0:
        raise InputError(f"threads is {threads}; expected 0 (the engine chooses) or more")
    try:
        module = importlib.import_module(_ENGINES[engine])
    except ImportError as error:
        raise ArtefactError(f"engine {engine!r} cannot be loaded ({error}); install it") from error
    session: Session = module.open_file(Path(path), threads)
    return session


def check_level(session: Session, unverified: bool) -> None:
    """Refuse a model that nothing is known of.

    Raises:
        VerificationError: its level is `none` and `unverified` is not set.
    """
    if session.manifest.numerics.level == "none" and not unverified:
        raise VerificationError(
            "the model is not verified (level none); export it with verification, "
            "or pass --unverified to run it without any claim"
        )


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
    exact = np.asarray(eps, np.float64)
    rounded = exact.astype(np.float32)
    up = np.nextafter(rounded, np.float32(np.inf))
    return np.asarray(np.where(rounded < exact, up, rounded), np.float32)


def checked_eps(eps: float) -> float:
    """The budget itself.

    Raises:
        InputError: it is negative, not finite or beyond 1e18 (float32 cannot square it).
    """
    if not (math.isfinite(eps) and 0 <= eps <= 1e18):
        raise InputError(f"eps is {eps}; expected a finite number, 0 or more (l2, images in [0,1])")
    return float(eps)


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
