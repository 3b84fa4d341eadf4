"""Codes blended into frames, by the compiled core where it is there.

OpenCV is the reference and takes over where the core was not built; the two agree to the byte.
`COMPILED` says which is in use. A code stands for a colour and for what it leaves of the frame.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

try:
    from lipdeploy import _native
except ImportError:  # built without a compiler
    COMPILED = False
else:
    COMPILED = True

Image = npt.NDArray[np.uint8]
Stripes = tuple[int, int]

NO_STRIPES: Stripes = (1, 0)
_BOX = np.ones((3, 3), np.uint8)
_NOWHERE = np.zeros((0, 0), np.uint8)


@dataclass(frozen=True)
class Colours:
    """What codes stand for: a value v of the frame becomes round(v * rest / 255) + colour.

    Attributes:
        rest: of each code, shape (256,), uint8; rest + colour <= 255.
        colour: RGB of each code, times its opacity, shape (256, 3), uint8.
        striped: the code that stripes show instead, shape (256,), uint8.
        edge: code of the outline, which is grey.
    """

    rest: Image
    colour: Image
    striped: Image
    edge: int = 255


def blended(
    image: Image,
    code: Image,
    colours: Colours,
    inside: Image | None = None,
    stripes: Stripes = NO_STRIPES,
) -> Image:
    """A new picture: the codes, enlarged to the frame by nearest neighbours, over the frame.

    Args:
        image: RGB, shape (H, W, 3).
        code: shape (h, w), at the network's resolution.
        colours: of the codes.
        inside: 0 or 1, shape (h, w); its border is outlined, in pixels of the frame.
        stripes: period and width: pixels with (x + y) % period < width are striped.
    """
    if not COMPILED:
        return blended_by_opencv(image, code, colours, inside, stripes)
    out = np.empty(image.shape, np.uint8)
    _native.tint(
        np.ascontiguousarray(image),
        np.ascontiguousarray(code),
        _NOWHERE if inside is None else np.ascontiguousarray(inside),
        _nearest(code.shape[0], image.shape[0]),
        _nearest(code.shape[1], image.shape[1]),
        stripes,
        (colours.rest, colours.colour, colours.striped, colours.edge),
        out,
    )
    return out


def blended_by_opencv(
    image: Image,
    code: Image,
    colours: Colours,
    inside: Image | None = None,
    stripes: Stripes = NO_STRIPES,
) -> Image:
    """The reference of `blended`, in as many passes as it has steps."""
    size = (image.shape[1], image.shape[0])
    large = cv2.resize(code, size, interpolation=cv2.INTER_NEAREST)
    if stripes[1]:
        large = cv2.copyTo(cv2.LUT(large, colours.striped), _hatching(size, stripes), large)
    if inside is not None:
        grown = cv2.resize(inside, size, interpolation=cv2.INTER_NEAREST)
        edge = cv2.morphologyEx(grown, cv2.MORPH_GRADIENT, _BOX)
        large = cv2.copyTo(np.full_like(large, colours.edge), edge, large)
    rest = cv2.LUT(large, colours.rest)
    left = cv2.multiply(image, cv2.merge([rest, rest, rest]), scale=1 / 255)
    added = cv2.applyColorMap(large, colours.colour[:, np.newaxis])
    return np.asarray(cv2.add(left, added), np.uint8)


@functools.lru_cache(maxsize=16)
def _nearest(small: int, large: int) -> npt.NDArray[np.int32]:
    """The place that each of `large` places takes its value from, as OpenCV resizes."""
    places = np.arange(small, dtype=np.float32)[np.newaxis]
    taken = cv2.resize(places, (large, 1), interpolation=cv2.INTER_NEAREST)
    return np.asarray(taken[0], np.int32)


@functools.lru_cache(maxsize=2)
def _hatching(size: tuple[int, int], stripes: Stripes) -> Image:
    """Diagonal stripes of ones, shape (H, W)."""
    diagonal = np.add.outer(np.arange(size[1]), np.arange(size[0])) % stripes[0]
    return (diagonal < stripes[1]).astype(np.uint8)
