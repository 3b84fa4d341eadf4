"""Labels that lie inside their regions: the certified budget, written on the picture."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from lipdeploy.core.figures import at_least
from lipdeploy.runtime.label_place import deepest_box
from lipdeploy.runtime.lettering import WHITE, Image, Style, darken, write
from lipdeploy.runtime.regions import RegionMap

_MOST = 12  # labels on one picture


@dataclass(frozen=True)
class Label:
    """A text with the box that it needs, in pixels of the picture.

    Attributes:
        region: place of its region in the region map.
        text: what it says.
        box: x, y, width, height.
    """

    region: int
    text: str
    box: tuple[int, int, int, int]


def budget_text(budget: float) -> str:
    """A budget that is a lower bound, rounded down.

    >>> budget_text(0.4399)
    'eps 0.43'
    """
    return f"eps {at_least(budget, 2)}" if math.isfinite(budget) else "any eps"


def place_labels(
    found: RegionMap,
    texts: Mapping[int, str],
    size: tuple[int, int],
    rows: tuple[int, int],
    style: Style,
) -> list[Label]:
    """A label for each of the largest regions that can hold theirs completely.

    Args:
        found: regions at the network's resolution.
        texts: what to write, by place of the region in `found.regions`.
        size: rows and columns of the picture.
        rows: first and last + 1 of the picture's rows that labels may lie on.
        style: of the text.
    """
    labels: list[Label] = []
    for k in sorted(texts):
        wide, high = style.width(texts[k]) + style.line // 2, round(style.line * 1.1)
        box = _place(found, k, (high, wide), size, rows)
        if box is not None:
            labels.append(Label(k, texts[k], box))
        if len(labels) == _MOST:
            break
    return labels


def draw_labels(image: Image, labels: list[Label], style: Style) -> None:
    """Write the labels on dark boxes."""
    for label in labels:
        x, y, wide, high = label.box
        darken(image[:, x : x + wide], y, y + high, left_over=0.22)
        write(image, label.text, (x + style.line // 4, y + (high - style.line) // 2), style, WHITE)


def _place(
    found: RegionMap, k: int, needed: tuple[int, int], size: tuple[int, int], rows: tuple[int, int]
) -> tuple[int, int, int, int] | None:
    """Where the box lies inside the region, as far from its border as can be."""
    height, width = found.number.shape
    down, across = size[0] / height, size[1] / width
    # In pixels of the network, with one to spare for rounding.
    high, wide = math.ceil(needed[0] / down) + 2, math.ceil(needed[1] / across) + 2
    x, y, box_width, box_height = found.regions[k].bbox
    if high > box_height or wide > box_width:
        return None
    # Labels stay off the panels.
    first = min(max(0, math.ceil(rows[0] / down) - y), box_height)
    stop = min(max(first, math.floor(rows[1] / down) - y), box_height)
    window = (x, y + first, box_width, stop - first)
    spot = deepest_box(found.number, k, window, (high | 1, wide | 1))  # odd: the centre is a pixel
    if spot is None:
        return None
    left = round((x + spot[1] + 0.5) * across - needed[1] / 2)
    top = round((y + first + spot[0] + 0.5) * down - needed[0] / 2)
    return left, top, needed[1], needed[0]
