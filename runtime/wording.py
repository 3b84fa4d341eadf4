"""The words of the overlay: what is shown, and exactly what it is worth."""

from __future__ import annotations

from decimal import ROUND_FLOOR, Decimal

import numpy as np

from lipdeploy.core.figures import percent_at_least
from lipdeploy.core.manifest import LEVEL_MEANING, Manifest
from lipdeploy.runtime.result import Result
from lipdeploy.runtime.views import View

Entry = tuple[str, str]  # kind of swatch (a class, one of these, none where empty), text
SOLID, HATCHED, GREY, BUDGET = "\0solid", "\0hatched", "\0grey", "\0budget"  # no class has a \0


class Wording:
    """Says what a picture shows; a figure never without its level.

    Args:
        manifest: of the model.
        keep: share of a region that must stay for it to be called stable.
        view: what the picture shows.
    """

    def __init__(self, manifest: Manifest, keep: float, view: View) -> None:
        self._names = manifest.class_names
        self._level = manifest.numerics.level
        self._view = view
        self._keep, self._change = kept_percent(keep)

    def headline(self, result: Result) -> str:
        """The figure of the frame that belongs to the view; of several cameras, which one it is."""
        camera = f"{result.frame.source_id}: " if result.frame.source_id else ""
        return camera + self._figure(result)

    def _figure(self, result: Result) -> str:
        if self._level == "none":
            return "NOT VERIFIED: no stability is claimed"
        what = {
            "regions": f"certified-stable ({self._level})",
            "pixels": f"certified pixel by pixel ({self._level})",
            "radius": f"certified radius ({self._level})",
        }[self._view]
        share = self._share(result)
        if share is None:
            return f"{what}: withheld"
        above = " above eps" if self._view == "radius" else ""
        return f"{what}: {percent_at_least(share, 0)} % of pixels{above}"

    def details(self) -> str:
        """Level in words."""
        return f"{self._level}: {LEVEL_MEANING[self._level]}"

    def entries(self, result: Result) -> list[Entry]:
        """What each colour and pattern means; then the classes, with their shares."""
        if not result.claims:
            return self._unclaimed(result)
        if self._view == "radius":
            return [("", "l2 radius: below it, a pixel keeps its class"), (GREY, "radius 0")]
        key = [(SOLID, "this pixel keeps its class"), (HATCHED, "no such guarantee")]
        if self._view == "regions":
            key = [
                (SOLID, f"at least {self._keep} % of it keeps its class"),
                (HATCHED, "no such guarantee"),
                (BUDGET, f"eps on a region: no smaller one changes {self._change} of it"),
            ]
        shares = self._class_share(result)
        return key + [
            (self._names[k], f"{self._names[k]} {percent_at_least(share, 0)} %")
            for k, share in shares.items()
        ]

    def _unclaimed(self, result: Result) -> list[Entry]:
        if self._view == "radius":
            return [(GREY, "no radius is claimed")]
        seen = [] if result.prediction is None else np.unique(result.prediction.mask).tolist()
        return [(HATCHED, "no stability is claimed")] + [
            (self._names[k], self._names[k]) for k in seen
        ]

    def _share(self, result: Result) -> float | None:
        if self._view == "regions":
            return result.certified_share
        return result.pixelwise_share

    def _class_share(self, result: Result) -> dict[int, float]:
        """Of each predicted class: collective for regions, pixelwise for pixels."""
        prediction, regions = result.prediction, result.regions
        if prediction is None or regions is None:
            return {}
        if self._view == "regions":
            return regions.class_share
        count = np.bincount(prediction.mask.ravel())
        solid = np.bincount(prediction.mask[result.outlasting], minlength=len(count))
        return {k: float(solid[k] / count[k]) for k in np.flatnonzero(count).tolist()}


def kept_percent(keep: float) -> tuple[str, str]:
    """A share that stays, in percent, and what more than the rest of it is called.

    >>> kept_percent(0.9)
    ('90', 'over 10 %')
    >>> kept_percent(1.0)
    ('100', 'any pixel')
    """
    percent = (Decimal(str(keep)) * 100).quantize(Decimal("0.0001"), ROUND_FLOOR)
    rest = 100 - percent
    return _short(percent), f"over {_short(rest)} %" if rest else "any pixel"


def _short(percent: Decimal) -> str:
    return f"{percent:f}".rstrip("0").rstrip(".") if "." in f"{percent:f}" else f"{percent:f}"
