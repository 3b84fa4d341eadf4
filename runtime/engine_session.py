"""A loaded lipdeploy model, whatever runs it: checks on the way in and on the way out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from lipdeploy.core.closing import Closing
from lipdeploy.core.errors import InputError, LipdeployError, VerificationError
from lipdeploy.core.manifest import Manifest
from lipdeploy.runtime.model_file import ModelFile, disclaimed
from lipdeploy.runtime.session import (
    Prediction,
    Run,
    checked_budgets,
    checked_image,
    prediction_from_outputs,
)

OUTPUTS = ("mask", "radius", "flips")

Interface = Mapping[str, tuple[str, list[int]]]
"""Type and shape by name, for example `{"eps": ("float32", [1])}`."""


class EngineSession(Closing):
    """What every engine's session does alike; implements `Session`."""

    def __init__(self, file: ModelFile, engine: str, run: Run) -> None:
        judged = file.on(engine)
        self._run: Run | None = run
        self.engine = engine
        self.manifest = judged.claimable
        self.name = judged.name
        self.standing = judged.standing

    def infer(self, image: npt.NDArray[np.uint8], eps: Sequence[float]) -> Prediction:
        """See `Session.infer`."""
        if self._run is None:
            raise LipdeployError("the session is closed; open the model again")
        feed: dict[str, npt.NDArray[Any]] = {
            "image": checked_image(image, self.manifest),
            "eps": checked_budgets(eps, self.manifest),
        }
        mask, radius, flips = self._run(OUTPUTS, feed)
        check_class_ids(mask, self.manifest)
        return prediction_from_outputs(mask, radius, flips)

    def infer_dlpack(self, image: Any, eps: Sequence[float]) -> Prediction:
        """As `infer`, of any object in this machine's memory that speaks DLPack; nothing is copied.

        The arrays of the prediction speak it too: `torch.from_dlpack(prediction.mask)`.

        Args:
            image: uint8, shape (H, W, 3), RGB, for example a tensor of PyTorch on the CPU.
            eps: as in `infer`.

        Raises:
            InputError: as `infer`, or `image` is on another device.
        """
        try:
            view: npt.NDArray[Any] = np.from_dlpack(image)
        except (AttributeError, BufferError, RuntimeError, TypeError) as error:
            raise InputError(
                f"image is {type(image).__name__}, which NumPy cannot take over by DLPack "
                f"({error}); expected uint8 (H, W, 3) in this machine's memory"
            ) from error
        return self.infer(view, eps)

    def disclaim(self) -> None:
        """See `Session.disclaim`."""
        self.manifest = disclaimed(self.manifest)

    def close(self) -> None:
        """Release the engine."""
        self._run = None


def check_class_ids(mask: npt.NDArray[np.uint8], manifest: Manifest) -> None:
    """Every id must have a name.

    Raises:
        VerificationError: one has none.
    """
    if int(mask.max()) >= len(manifest.class_names):
        raise VerificationError(
            f"the model predicted class id {int(mask.max())}, its metadata names only "
            f"{len(manifest.class_names)} classes; export it again"
        )


def check_metadata(found: Mapping[str, str], file: ModelFile) -> None:
    """The engine must have read the metadata that was judged.

    Raises:
        VerificationError: it read other metadata.
    """
    if dict(found) != dict(file.content.metadata):
        raise VerificationError(
            f"model {file.name}: the engine reads other metadata than the file holds; "
            "export it again"
        )


def check_interface(inputs: Interface, outputs: Interface, file: ModelFile) -> None:
    """Inputs and outputs must be those that the metadata promises.

    Raises:
        VerificationError: one is missing or otherwise, or there are more inputs.
    """
    manifest = file.manifest
    size = [1, manifest.height, manifest.width]
    wanted_inputs: Interface = {
        "image": ("uint8", [*size, 3]),
        "eps": ("float32", [manifest.budgets]),
    }
    wanted_outputs: Interface = {
        "mask": ("uint8", size),
        "radius": ("float32", size),
        "flips": ("float32", [1, manifest.budgets]),
    }
    _compare("input", inputs, wanted_inputs, file.name)
    _compare("output", outputs, wanted_outputs, file.name)
    if len(inputs) != len(wanted_inputs):
        extra = ", ".join(sorted(set(inputs) - set(wanted_inputs)))
        raise VerificationError(f"model {file.name} has unknown inputs: {extra}; export it again")


def _compare(kind: str, found: Interface, expected: Interface, model: str) -> None:
    for name, wanted in expected.items():
        if found.get(name) != wanted:
            raise VerificationError(
                f"model {model}: {kind} {name!r} is {found.get(name, 'missing')}, "
                f"its metadata promises {wanted}; export it again"
            )


def unloadable(file: ModelFile, reason: str) -> VerificationError:
    """What to raise where an engine does not take a file."""
    return VerificationError(
        f"model {file.name} cannot be loaded as ONNX ({reason[:200]}); export it again"
    )
