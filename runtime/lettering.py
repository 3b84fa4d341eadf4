"""Anti-aliased text and dark panels on an RGB picture, sized to the picture."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
Colour = tuple[int, int, int]

WHITE: Colour = (245, 245, 245)
DIM: Colour = (196, 200, 206)
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_SCALE_PER_PIXEL = 1 / 30  # of the font, for a line one pixel high


@dataclass(frozen=True)
class Style:
    """Size and weight of text; `line` is the height of a line in pixels."""

    line: int
    bold: bool = False

    @property
    def scale(self) -> float:
        """Font scale in OpenCV's units."""
        return self.line * _SCALE_PER_PIXEL

    @property
    def thickness(self) -> int:
        """Stroke in pixels."""
        return max(1, round(self.scale * (2.2 if self.bold else 1.2)))

    def width(self, text: str) -> int:
        """Width of a text in pixels."""
        return _measured(text, self)


@functools.lru_cache(maxsize=1024)  # a stream says almost the same of every frame
def _measured(text: str, style: Style) -> int:
    (width, _), _ = cv2.getTextSize(plain(text), _FONT, style.scale, style.thickness)
    return int(width)


def styles(shorter_side: int) -> tuple[Style, Style]:
    """Heading and body text for a picture."""
    body = max(14, round(shorter_side / 30))
    return Style(round(body * 1.25), bold=True), Style(body)


def plain(text: str) -> str:
    """The text in the font's characters (ASCII)."""
    return text.encode("ascii", "replace").decode()


def write(
    image: Image, text: str, at: tuple[int, int], style: Style, colour: Colour = WHITE
) -> None:
    """Write a line whose box begins at `at` (x, y of the upper left corner)."""
    baseline = at[1] + round(style.line * 0.76)
    cv2.putText(
        image,
        plain(text),
        (at[0], baseline),
        _FONT,
        style.scale,
        colour,
        style.thickness,
        cv2.LINE_AA,
    )


@functools.lru_cache(maxsize=64)
def wrapped(text: str, style: Style, width: int) -> tuple[str, ...]:
    """The text in lines that fit a width in pixels; a longer word stands alone."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and style.width(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return tuple(lines)


def in_rows(widths: Sequence[int], room: int, gap: int) -> list[list[tuple[int, int]]]:
    """Things set side by side in rows of `room` pixels, as (x, place in `widths`).

    >>> in_rows([40, 40, 40], 100, 10)
    [[(0, 0), (50, 1)], [(0, 2)]]
    """
    rows: list[list[tuple[int, int]]] = []
    x = room
    for place, wide in enumerate(widths):
        if not rows or x + wide > room:
            rows.append([])
            x = 0
        rows[-1].append((x, place))
        x += wide + gap
    return rows


def darken(image: Image, top: int, bottom: int, left_over: float = 0.34) -> None:
    """Make rows top..bottom-1 a dark, translucent panel."""
    rows = image[max(0, top) : bottom]
    if rows.size:
        cv2.convertScaleAbs(rows, dst=rows, alpha=left_over, beta=10)
