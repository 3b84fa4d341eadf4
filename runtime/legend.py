"""The panels of the overlay above and below the picture, with the words of `wording`."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import cv2
import numpy as np

from lipdeploy.core.manifest import Manifest
from lipdeploy.runtime.colour_bar import bar_height, draw_bar
from lipdeploy.runtime.heat import Heat
from lipdeploy.runtime.lettering import (
    DIM,
    WHITE,
    Image,
    Style,
    darken,
    in_rows,
    styles,
    wrapped,
    write,
)
from lipdeploy.runtime.palette import class_colour, is_tinted
from lipdeploy.runtime.result import Result
from lipdeploy.runtime.views import View
from lipdeploy.runtime.wording import BUDGET, GREY, HATCHED, SOLID, Wording

_ALERT = (255, 176, 64)
_BANNER = (120, 20, 24)
_WIDEST_BAR = 30  # in lines of text


class Legend:
    """Draws the panels above and below; knows nothing of pixels' classes.

    Args:
        manifest: of the model.
        keep: share of a region that must stay for it to be called stable.
        view: what the picture shows.
    """

    def __init__(self, manifest: Manifest, keep: float, view: View = "regions") -> None:
        self._input = f"{manifest.width}x{manifest.height}"
        self._wording = Wording(manifest, keep, view)

    def draw(
        self, image: Image, result: Result, fps: float, heat: Heat | None = None
    ) -> tuple[int, int]:
        """Draw onto the picture, shape (H, W, 3).

        Args:
            image: drawn onto.
            result: what the picture shows.
            fps: frames a second.
            heat: of the picture's colours, where they stand for numbers.

        Returns:
            First and last + 1 of the rows that the panels left free.
        """
        heading, body = styles(min(image.shape[:2]))
        free = self._draw_above(image, result, fps, heading, body)
        if result.state == "withheld":
            _draw_banner(image, result.reason, heading, body)
            return free, free
        return free, self._draw_below(image, result, body, heat if result.claims else None)

    def _draw_above(
        self, image: Image, result: Result, fps: float, heading: Style, body: Style
    ) -> int:
        pad = body.line // 2
        width = image.shape[1] - 2 * pad
        budget = f"eps {result.eps!r} (l2, at the {self._input} network input)"
        lines = wrapped(budget, body, width) + wrapped(self._wording.details(), body, width)
        title = self._wording.headline(result)
        titles = wrapped(title, heading, width - body.width("000.0 fps") - pad)
        bottom = 2 * pad + heading.line * len(titles) + body.line * len(lines)
        darken(image, 0, bottom)
        y = pad
        for title in titles:
            write(image, title, (pad, y), heading)
            y += heading.line
        for line in lines:
            write(image, line, (pad, y), body, DIM)
            y += body.line
        speed = f"{fps:.1f} fps"
        write(image, speed, (image.shape[1] - pad - body.width(speed), pad), body, DIM)
        return bottom

    def _draw_below(self, image: Image, result: Result, body: Style, heat: Heat | None) -> int:
        pad = body.line // 2
        width = image.shape[1] - 2 * pad
        rows = _rows(self._wording.entries(result), body, width)
        high = len(rows) * round(body.line * 1.2) + (bar_height(body) if heat else 0)
        top = int(image.shape[0]) - high - 2 * pad
        darken(image, top, image.shape[0])
        y = top + pad
        for row in rows:
            for x, kind, text in row:
                if kind:
                    _draw_swatch(image, (pad + x, y), body, kind)
                write(image, text, (pad + x + _swatch_width(body, kind), y), body, WHITE)
            y += round(body.line * 1.2)
        if heat is not None:
            long = min(width, _WIDEST_BAR * body.line)
            draw_bar(image, (pad, y), long, heat.scale, heat.bar_colours, result.eps, body)
        return top


def _rows(
    entries: Sequence[tuple[str, str]], style: Style, width: int
) -> list[list[tuple[int, str, str]]]:
    """Entries as (x, kind, text) in rows that fit."""
    widths = [_swatch_width(style, kind) + style.width(text) for kind, text in entries]
    return [[(x, *entries[k]) for x, k in row] for row in in_rows(widths, width, style.line)]


def _swatch_width(style: Style, kind: str) -> int:
    return round(style.line * 1.15) if kind else 0


def _draw_swatch(image: Image, at: tuple[int, int], style: Style, kind: str) -> None:
    """Draw a swatch as high as a capital letter, where the picture has room for it."""
    x, y = at[0], at[1] + round(style.line * 0.12)
    swatch = _swatch(kind, round(style.line * 0.72))
    box = image[y : y + swatch.shape[0], x : x + swatch.shape[1]]
    box[:] = swatch[: box.shape[0], : box.shape[1]]


@functools.lru_cache(maxsize=256)  # the same few in every frame
def _swatch(kind: str, side: int) -> Image:
    """A small square: a class colour, or white or grey, solid, hatched or with writing."""
    box = np.zeros((side, side, 3), np.uint8)
    if kind == HATCHED:
        diagonal = np.add.outer(np.arange(side), np.arange(side)) % 5
        box[:] = np.where((diagonal < 2)[..., np.newaxis], 200, 70)
    elif kind == SOLID:
        box[:] = WHITE
    elif kind == GREY:
        box[:] = 110
    elif kind == BUDGET:
        box[:] = 30
        box[side * 2 // 5 : side * 3 // 5, side // 5 : side - side // 5] = WHITE
    elif is_tinted(kind):
        box[:] = class_colour(kind)
    cv2.rectangle(box, (0, 0), (side - 1, side - 1), DIM, 1)
    return box


def _draw_banner(image: Image, reason: str, heading: Style, body: Style) -> None:
    """Say in the middle of the picture that nothing is claimed, and why."""
    big = Style(round(heading.line * 1.5), bold=True)
    height = big.line + body.line + 2 * body.line
    top = (image.shape[0] - height) // 2
    cv2.rectangle(image, (0, top), (image.shape[1] - 1, top + height - 1), _BANNER, cv2.FILLED)
    centre = image.shape[1] // 2
    title, note = f"WITHHELD: {reason}", "nothing is claimed of this frame"
    y = top + body.line
    write(image, title, (max(0, centre - big.width(title) // 2), y), big)
    write(image, note, (max(0, centre - body.width(note) // 2), y + big.line), body, _ALERT)
