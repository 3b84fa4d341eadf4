"""Colours of classes: fixed for well-known names, derived from the name for others."""

from __future__ import annotations

import colorsys
import zlib

Colour = tuple[int, int, int]  # RGB, 0..255

_KNOWN: dict[str, Colour] = {
    "road": (126, 107, 196),
    "sidewalk": (236, 130, 190),
    "building": (226, 150, 84),
    "wall": (190, 160, 130),
    "fence": (170, 140, 110),
    "vegetation": (88, 184, 92),
    "tree": (88, 184, 92),
    "terrain": (160, 196, 92),
    "grass": (150, 206, 96),
    "sky": (84, 168, 240),
    "water": (64, 132, 214),
    "car": (250, 202, 60),
    "truck": (238, 176, 44),
    "bus": (255, 160, 40),
    "bicycle": (60, 206, 196),
    "motorcycle": (40, 180, 170),
    "rider": (240, 96, 120),
    "person": (240, 72, 84),
    "pedestrian": (240, 72, 84),
    "polyp": (64, 226, 176),
}
_UNTINTED = frozenset({"background", "void", "unlabeled", "unlabelled", "ignore", "other"})


def class_colour(name: str) -> Colour:
    """The colour of a class; the same name always has the same colour.

    >>> class_colour("sky") == class_colour("Sky ")
    True
    """
    key = name.strip().lower()
    if key in _KNOWN:
        return _KNOWN[key]
    number = zlib.crc32(key.encode())
    hue, shade = (number % 360) / 360, (number // 360) % 3
    red, green, blue = colorsys.hls_to_rgb(hue, 0.55 + 0.06 * shade, 0.68)
    return round(red * 255), round(green * 255), round(blue * 255)


def is_tinted(name: str) -> bool:
    """Whether a class is coloured at all; a background is left as the camera saw it."""
    return name.strip().lower() not in _UNTINTED
