"""A white page for people: a title, pictures side by side with keys and captions, notes below."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from lipdeploy.runtime.colour_bar import bar_height, draw_bar
from lipdeploy.runtime.heat import Scale, heat_colours
from lipdeploy.runtime.lettering import Colour, Image, Style, in_rows, wrapped, write

INK: Colour = (22, 24, 28)
FAINT: Colour = (86, 90, 98)
ALERT: Colour = (176, 24, 24)
_SIDE = 480  # pixels of a magnified picture's side, if it were square
_NARROWEST = 17  # columns, in lines of text


@dataclass(frozen=True)
class Column:
    """One picture of a page.

    Attributes:
        title: above it.
        picture: RGB, shape (H, W, 3), the same for all columns of a page.
        captions: paragraphs below it.
        key: colours and what they mean.
        bar: scale of its colours, where they stand for numbers.
    """

    title: str
    picture: Image
    captions: tuple[str, ...]
    key: tuple[tuple[Colour, str], ...] = ()
    bar: Scale | None = None


def magnification(height: int, width: int) -> int:
    """How often each pixel is repeated, so that a small picture can be looked at."""
    return max(1, round(_SIDE / math.sqrt(height * width)))


def magnified(pixels: Image) -> Image:
    """Each pixel as a square, shape (H, W) or (H, W, 3)."""
    k = magnification(*pixels.shape[:2])
    return np.ascontiguousarray(pixels.repeat(k, axis=0).repeat(k, axis=1))


def enlarged_photo(image: Image) -> Image:
    """The photograph at the size of `magnified`, smooth."""
    k = magnification(*image.shape[:2])
    size = (image.shape[1] * k, image.shape[0] * k)
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_CUBIC), np.uint8)


def page_style(height: int, width: int) -> Style:
    """Body text beside a magnified picture of this size."""
    return Style(max(18, round(math.sqrt(height * width) / 27)))


def draw_page(
    title: str, columns: Sequence[Column], notes: Sequence[str], eps: float, alert: str = ""
) -> Image:
    """Lay out the page.

    Args:
        title: of the page.
        columns: from left to right.
        notes: paragraphs at the foot.
        eps: marked on colour bars.
        alert: a warning below the title.
    """
    high, wide = columns[0].picture.shape[:2]
    body = page_style(high, wide)
    gap = 2 * body.line
    width = max(wide + 2, _NARROWEST * body.line)
    sheets = [_column(column, width, body, eps, _title_lines(columns, width)) for column in columns]
    tallest = max(len(sheet) for sheet in sheets)
    spacer = np.full((tallest, gap, 3), 255, np.uint8)
    row = [spacer]
    for sheet in sheets:
        row += [_padded(sheet, tallest), spacer]
    middle = np.concatenate(row, axis=1)
    room = middle.shape[1] - 2 * gap
    big = Style(round(body.line * 1.4), bold=True)
    head = _paragraphs([title], big, room, INK)
    if alert:
        head = np.concatenate([head, _paragraphs([alert], big, room, ALERT)])
    foot = _paragraphs(notes, body, room, FAINT)
    return np.concatenate([_indented(head, gap), middle, _indented(foot, gap)])


def _title_lines(columns: Sequence[Column], width: int) -> int:
    high, wide = columns[0].picture.shape[:2]
    heading = _heading(page_style(high, wide))
    return max(len(wrapped(column.title, heading, width)) for column in columns)


def _heading(body: Style) -> Style:
    return Style(round(body.line * 1.15), bold=True)


def _column(column: Column, width: int, body: Style, eps: float, title_lines: int) -> Image:
    heading = _heading(body)
    title = _text(wrapped(column.title, heading, width), heading, width, INK)
    parts = [_padded(title, title_lines * heading.line + body.line // 2)]
    parts.append(_framed(column.picture, width))
    if column.bar is not None:
        gap = body.line // 4
        bar = np.full((bar_height(body) + gap, width, 3), 255, np.uint8)
        draw_bar(bar, (gap, gap), width - 2 * gap, column.bar, heat_colours(), eps, body, INK)
        parts.append(bar)
    if column.key:
        parts.append(_key(column.key, width, body))
    parts.append(_paragraphs(column.captions, body, width, INK))
    return np.concatenate(parts)


def _framed(picture: Image, width: int) -> Image:
    """The picture with a thin frame around it, on paper of the column's width."""
    high, wide = picture.shape[:2]
    sheet = np.full((high + 2, width, 3), 255, np.uint8)
    sheet[:, : wide + 2] = FAINT
    sheet[1:-1, 1 : wide + 1] = picture
    return sheet


def _key(key: Sequence[tuple[Colour, str]], width: int, style: Style) -> Image:
    indent = round(style.line * 1.1)
    widths = [indent + style.width(text) for _, text in key]
    rows = in_rows(widths, width, style.line)
    pitch = round(style.line * 1.25)
    sheet = np.full((len(rows) * pitch + style.line // 2, width, 3), 255, np.uint8)
    side = round(style.line * 0.76)
    for number, row in enumerate(rows):
        y = style.line // 2 + number * pitch
        for x, place in row:
            colour, text = key[place]
            cv2.rectangle(sheet, (x, y), (x + side, y + side), colour, cv2.FILLED)
            cv2.rectangle(sheet, (x, y), (x + side, y + side), FAINT, 1)
            write(sheet, text, (x + indent, y), style, INK)
    return sheet


def _paragraphs(texts: Sequence[str], style: Style, width: int, ink: Colour) -> Image:
    gap = np.full((style.line // 2, width, 3), 255, np.uint8)
    sheets = [gap]
    for text in texts:
        sheets += [_text(wrapped(text, style, width), style, width, ink), gap]
    return np.concatenate(sheets)


def _text(lines: Sequence[str], style: Style, width: int, ink: Colour) -> Image:
    sheet = np.full((len(lines) * style.line, width, 3), 255, np.uint8)
    for number, line in enumerate(lines):
        write(sheet, line, (0, number * style.line), style, ink)
    return sheet


def _padded(sheet: Image, height: int) -> Image:
    rest = np.full((max(0, height - len(sheet)), *sheet.shape[1:]), 255, np.uint8)
    return np.concatenate([sheet, rest])


def _indented(sheet: Image, gap: int) -> Image:
    side = np.full((len(sheet), gap, 3), 255, np.uint8)
    return np.concatenate([side, sheet, side], axis=1)
