"""A colour bar with ticks and the budget marked on it."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from lipdeploy.runtime.heat import Scale
from lipdeploy.runtime.lettering import WHITE, Colour, Image, Style, write

_TICKS = 4
_LONGEST = 3.0  # of the axis, in tops of the scale; a larger budget is marked at its end


def bar_height(style: Style) -> int:
    """Rows that a bar takes: the budget's mark above it, the ticks' figures below."""
    return 3 * style.line


def draw_bar(
    image: Image,
    at: tuple[int, int],
    width: int,
    scale: Scale,
    colours: npt.NDArray[np.uint8],
    eps: float,
    style: Style,
    ink: Colour = WHITE,
) -> None:
    """Draw the bar with its upper left corner at `at` (x, y).

    The axis reaches from 0 to the scale's top, and on to eps where that is larger.

    Args:
        image: drawn onto.
        at: upper left corner.
        width: of the bar, in pixels.
        scale: of the values.
        colours: RGB of the codes, shape (256, 3).
        eps: the budget to mark.
        style: of the figures.
        ink: colour of the figures.
    """
    x, y = at[0], at[1] + style.line
    high = round(style.line * 0.8)
    end = axis_end(scale, eps)
    values = (np.arange(width) + 0.5)[np.newaxis] / width * end
    image[y : y + high, x : x + width] = colours[scale.codes(values)]
    cv2.rectangle(image, (x, y), (x + width - 1, y + high - 1), ink, 1)
    for value in ticks(scale, end):
        place = x + round(value / end * (width - 1))
        cv2.line(image, (place, y + high), (place, y + high + style.line // 5), ink, 1)
        _centred(image, f"{value:.4g}", place, y + high + style.line // 6, (x, width), style, ink)
    _mark(image, (x, y), width, high, eps / end, f"eps {eps!r}", style, ink)


def axis_end(scale: Scale, eps: float) -> float:
    """The value at the right end of the bar."""
    reach = eps * 1.08
    return max(scale.top, reach) if reach <= _LONGEST * scale.top else scale.top


def ticks(scale: Scale, end: float) -> list[float]:
    """Values with a figure: quarters of the scale's top, halves where the axis goes on."""
    parts = _TICKS if end < 1.7 * scale.top else _TICKS // 2
    step = scale.top / parts
    return [k * step for k in range(int(end / step * (1 + 1e-9)) + 1)]


def _mark(
    image: Image,
    at: tuple[int, int],
    width: int,
    high: int,
    share: float,
    text: str,
    style: Style,
    ink: Colour,
) -> None:
    """A pointer onto the bar from above, with the budget; beyond the end it says so."""
    beyond = share > 1
    place = at[0] + round(min(share, 1.0) * (width - 1))
    half = max(3, style.line // 4)
    tip = np.array(
        [(place, at[1] + half), (place - half, at[1] - half), (place + half, at[1] - half)]
    )
    cv2.line(image, (place, at[1]), (place, at[1] + high - 1), (255, 255, 255), 3)
    cv2.line(image, (place, at[1]), (place, at[1] + high - 1), (0, 0, 0), 1)
    cv2.fillConvexPoly(image, tip.astype(np.int32), ink, cv2.LINE_AA)
    words = f"{text} (beyond)" if beyond else text
    room = style.width(words) + 2 * half
    left = place - room if place + room > at[0] + width else place + 2 * half
    write(image, words, (max(at[0], left), at[1] - style.line), style, ink)


def _centred(
    image: Image,
    text: str,
    centre: int,
    top: int,
    bounds: tuple[int, int],
    style: Style,
    ink: Colour,
) -> None:
    wide = style.width(text)
    left = min(max(bounds[0], centre - wide // 2), bounds[0] + bounds[1] - wide)
    write(image, text, (left, top), style, ink)
