"""What the legend says of each class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lipdeploy.core.figures import percent_at_least
from lipdeploy.runtime.palette import class_colour, is_tinted
from lipdeploy.runtime.result import Result


@dataclass(frozen=True)
class ClassShare:
    """One class in one picture.

    Attributes:
        name: of the class.
        colour: as `#rrggbb`; empty where the overlay leaves the class as the camera saw it.
        area: share of the picture predicted as it, 0..1.
        kept: least share of those pixels that keep this class under any perturbation within eps,
            the whole budget spent on this class alone, 0..1; None where nothing is claimed.
    """

    name: str
    colour: str
    area: float
    kept: float | None

    @property
    def kept_percent(self) -> str | None:
        """`kept` in percent, rounded down."""
        return None if self.kept is None else percent_at_least(self.kept)


def class_shares(result: Result, class_names: Sequence[str]) -> list[ClassShare]:
    """Classes that are predicted in the picture, largest first; none where it was withheld.

    The budget of each class is the whole one, so the statements of all classes hold at once.

    Source: Massena et al. 2025, Eq. 11 with S the pixels predicted as one class.
    """
    prediction = result.prediction
    if prediction is None or result.state != "ok":
        return []
    kept = result.regions.class_share if result.claims and result.regions else {}
    count = np.bincount(prediction.mask.ravel())
    order = np.argsort(-count, kind="stable")
    return [
        ClassShare(class_names[k], _colour(class_names[k]), count[k] / count.sum(), kept.get(k))
        for k in order.tolist()
        if count[k]
    ]


def _colour(name: str) -> str:
    return "#{:02x}{:02x}{:02x}".format(*class_colour(name)) if is_tinted(name) else ""
