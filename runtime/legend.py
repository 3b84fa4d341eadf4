"""The words on the overlay: what is shown, under which budget, and what it is worth."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from lipdeploy.core.figures import percent_at_least
from lipdeploy.core.manifest import LEVEL_MEANING, Manifest
from lipdeploy.runtime.lettering import DIM, WHITE, Image, Style, darken, styles, wrapped, write
from lipdeploy.runtime.palette import class_colour, is_tinted
from lipdeploy.runtime.result import Result

_ALERT = (255, 176, 64)


class Legend:
    """Draws the panels above and below; knows nothing of pixels' classes.

    Args:
        manifest: of the model.
        keep: share of a region that must stay for it to be called stable.
    """

    def __init__(self, manifest: Manifest, keep: float) -> None:
        self._manifest = manifest
        self._level = manifest.numerics.level
        self._keep = f"{percent_at_least(keep, 4).rstrip('0').rstrip('.')} %"

    def draw(self, image: Image, result: Result, fps: float) -> None:
        """Draw onto the picture, shape (H, W, 3)."""
        heading, body = styles(min(image.shape[:2]))
        self._draw_above(image, result, fps, heading, body)
        if result.state == "withheld":
            _draw_banner(image, result.reason, heading, body)
        else:
            self._draw_below(image, result, body)

    def headline(self, result: Result) -> str:
        """The figure, never without its level."""
        if self._level == "none":
            return "NOT VERIFIED: no stability is claimed"
        if result.certified_share is None:
            return f"certified-stable ({self._level}): withheld"
        percent = percent_at_least(result.certified_share, 0)
        return f"certified-stable ({self._level}): {percent} % of pixels"

    def details(self) -> str:
        """Level in words."""
        return f"{self._level}: {LEVEL_MEANING[self._level]}"

    def _draw_above(
        self, image: Image, result: Result, fps: float, heading: Style, body: Style
    ) -> None:
        pad = body.line // 2
        width = image.shape[1] - 2 * pad
        size = f"{self._manifest.width}x{self._manifest.height}"
        budget = f"eps {result.eps!r} (l2, at the {size} network input)"
        lines = wrapped(budget, body, width) + wrapped(self.details(), body, width)
        titles = wrapped(self.headline(result), heading, width - body.width("000.0 fps") - pad)
        darken(image, 0, 2 * pad + heading.line * len(titles) + body.line * len(lines))
        y = pad
        for title in titles:
            write(image, title, (pad, y), heading)
            y += heading.line
        for line in lines:
            write(image, line, (pad, y), body, DIM)
            y += body.line
        speed = f"{fps:.1f} fps"
        write(image, speed, (image.shape[1] - pad - body.width(speed), pad), body, DIM)

    def _draw_below(self, image: Image, result: Result, body: Style) -> None:
        pad = body.line // 2
        rows = _rows(self._entries(result), body, image.shape[1] - 2 * pad)
        top = image.shape[0] - len(rows) * round(body.line * 1.2) - 2 * pad
        darken(image, top, image.shape[0])
        y = top + pad
        for row in rows:
            for x, kind, text in row:
                _draw_swatch(image, (pad + x, y), body, kind)
                write(image, text, (pad + x + _swatch_width(body), y), body, WHITE)
            y += round(body.line * 1.2)

    def _entries(self, result: Result) -> list[tuple[str, str]]:
        """Kind of swatch and text; a text of its own for solid and hatched, then one a class."""
        names = self._manifest.class_names
        if result.regions is None or not result.claims:
            present = (
                [] if result.prediction is None else np.unique(result.prediction.mask).tolist()
            )
            return [("hatched", "no stability is claimed")] + [
                (names[k], names[k]) for k in present
            ]
        key = [
            ("solid", f"at least {self._keep} of it keeps its class"),
            ("hatched", "no such guarantee"),
        ]
        shares = result.regions.class_share
        percent = {k: percent_at_least(share, 0) for k, share in shares.items()}
        return key + [(names[k], f"{names[k]} {p} %") for k, p in percent.items()]


def _rows(
    entries: Sequence[tuple[str, str]], style: Style, width: int
) -> list[list[tuple[int, str, str]]]:
    """Entries as (x, kind, text) in rows that fit."""
    rows: list[list[tuple[int, str, str]]] = []
    x = width
    for kind, text in entries:
        wide = _swatch_width(style) + style.width(text) + style.line
        if x + wide - style.line > width:
            rows.append([])
            x = 0
        rows[-1].append((x, kind, text))
        x += wide
    return rows


def _swatch_width(style: Style) -> int:
    return round(style.line * 1.15)


def _draw_swatch(image: Image, at: tuple[int, int], style: Style, kind: str) -> None:
    """A small square: a class colour, or white, solid or hatched."""
    side = round(style.line * 0.72)
    x, y = at[0], at[1] + round(style.line * 0.12)
    box = image[y : y + side, x : x + side]
    if kind == "hatched":
        diagonal = np.add.outer(np.arange(box.shape[0]), np.arange(box.shape[1])) % 5
        box[:] = np.where((diagonal < 2)[..., np.newaxis], 200, 70)
    elif kind == "solid":
        box[:] = WHITE
    elif is_tinted(kind):
        box[:] = class_colour(kind)
    cv2.rectangle(image, (x, y), (x + side - 1, y + side - 1), DIM, 1)


def _draw_banner(image: Image, reason: str, heading: Style, body: Style) -> None:
    """Say in the middle of the picture that nothing is claimed, and why."""
    big = Style(round(heading.line * 1.5), bold=True)
    height = big.line + body.line + 2 * body.line
    top = (image.shape[0] - height) // 2
    image[top : top + height] = (120, 20, 24)
    centre = image.shape[1] // 2
    title, note = f"WITHHELD: {reason}", "nothing is claimed of this frame"
    y = top + body.line
    write(image, title, (max(0, centre - big.width(title) // 2), y), big)
    write(image, note, (max(0, centre - body.width(note) // 2), y + big.line), body, _ALERT)
