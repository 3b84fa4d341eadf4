"""What a file claims of a frame, against the reference precision."""

from __future__ import annotations

from dataclasses import dataclass

from lipdeploy.export.verifier.rounding.reference import Frame, Reference
from lipdeploy.runtime.session import Prediction


@dataclass(frozen=True)
class Disagreement:
    """Pixels of one frame on which the file is wrong, not just rounded.

    Attributes:
        over_claims: whose radius is above that of float64.
        other_class: whose class differs although the float64 margin exceeds 2 D.
        worst: largest excess of a radius.
    """

    over_claims: int
    other_class: int
    worst: float

    def __bool__(self) -> bool:
        return bool(self.over_claims or self.other_class)

    def __str__(self) -> str:
        return (
            f"{self.over_claims} pixels claim a radius above float64 (by up to {self.worst:.3g}), "
            f"{self.other_class} have another class where float64 is clear"
        )


def compared(reference: Reference, frame: Frame, prediction: Prediction) -> Disagreement:
    """Compare one prediction of the deployed engine with float64 on the same frame."""
    found = reference.judge(frame)
    excess = prediction.radius.astype(found.ceiling.dtype) - found.ceiling
    slack = reference.file.manifest.numerics.slack
    clear = found.margin > 2 * slack + reference.slack
    return Disagreement(
        int((excess > 0).sum()),
        int(((prediction.mask != found.mask) & clear).sum()),
        max(0.0, float(excess.max())),
    )
