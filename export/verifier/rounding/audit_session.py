"""The reference precision in the form of a session, so that `certify` can run on it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from lipdeploy.core.certificate import count_flips
from lipdeploy.core.closing import Closing
from lipdeploy.core.errors import VerificationError
from lipdeploy.core.manifest import Manifest, Numerics
from lipdeploy.core.single_precision import float32_down
from lipdeploy.export.verifier.contract import check_interface
from lipdeploy.export.verifier.rounding.reference import Reference
from lipdeploy.runtime.model_file import ModelFile, disclaimed
from lipdeploy.runtime.session import Prediction, checked_budgets, checked_image

ENGINE = "float64 replay CPU"


class AuditSession(Closing):
    """A model file at level `proved`; implements `Session`.

    Nothing of the metadata is believed but class names and size: L and margins come from the
    stored weights, so no verification record is needed.

    Raises:
        VerificationError: the file cannot be bounded or replayed in float64.
    """

    engine = ENGINE

    def __init__(self, file: ModelFile) -> None:
        self.reference = Reference(file)
        check_interface(self.reference.graph, file.manifest)
        self.manifest = _proved(file.manifest, self.reference)
        self.name, self.standing = file.name, file.standing
        self._open = True

    def infer(self, image: npt.NDArray[np.uint8], eps: Sequence[float]) -> Prediction:
        """See `Session.infer`; several times slower than an engine."""
        if not self._open:
            raise VerificationError("the session is closed; open the model again")
        budgets = checked_budgets(eps, self.manifest).astype(np.float64)
        found = self.reference.judge(checked_image(image, self.manifest)[0])
        radius = float32_down(found.radius)
        flips = count_flips(radius, budgets).astype(np.float32)
        return Prediction(found.mask, radius, flips)

    def disclaim(self) -> None:
        """See `Session.disclaim`."""
        self.manifest = disclaimed(self.manifest)

    def close(self) -> None:
        """See `Session.close`."""
        self._open = False


def _proved(manifest: Manifest, reference: Reference) -> Manifest:
    """The manifest of what is evaluated here: float64, with L from the weights."""
    evidence = {"engine": ENGINE, "rule": "float64, its rounding subtracted"}
    evidence["bound"] = f"{reference.slack:.3g}"
    numerics = Numerics("float64", reference.slack, "proved", evidence)
    return dataclasses.replace(manifest, lipschitz=reference.lipschitz, numerics=numerics)
