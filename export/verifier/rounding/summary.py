"""The bound on rounding as `lipdeploy verify --rounding` tells it."""

from __future__ import annotations

from dataclasses import dataclass

from lipdeploy.core.errors import VerificationError
from lipdeploy.export.verifier.graph import Graph
from lipdeploy.export.verifier.rounding.bound import Part, Rounding

LISTED = 5


@dataclass(frozen=True)
class RoundingSummary:
    """What float32 can do to the logits of any frame.

    Attributes:
        slack: D, bound on the error of a logit difference; None where there is no proof.
        field: height and width of the receptive field.
        parts: the nodes that contribute most, in l2 over the classes of a pixel.
        refusal: why there is no bound.
    """

    slack: float | None
    field: tuple[int, int] = (0, 0)
    parts: tuple[Part, ...] = ()
    refusal: str = ""


def rounding_summary(graph: Graph) -> RoundingSummary:
    """The bound for all frames, or what stands in its way."""
    try:
        found = Rounding(graph).of_model()
    except VerificationError as error:
        return RoundingSummary(None, refusal=str(error))
    return RoundingSummary(found.slack, found.field, found.parts[:LISTED])
