"""What can be wrong with the pixels of one picture: black, uniform, or partly a repeat."""

from __future__ import annotations

import zlib

import cv2
import numpy as np
import numpy.typing as npt

_DARK = 16  # of 255: sensor noise and the black level of video codecs stay below
_HOT_PIXELS = 1e-4  # share of pixels that a lens cap does not darken
_FLAT = 1.5  # standard deviation, in levels of 255, of a picture of nothing
_SAMPLED_ROWS = 120  # rows that are enough to tell whether a picture is flat
_COLUMNS = 16  # every so many values of a row decide whether the row is looked at closely
_BAND = 8  # a lost slice holds an eighth of the rows or more
_HASHED_BYTES = 1 << 17

Image = npt.NDArray[np.uint8]


def is_black(image: Image) -> bool:
    """Whether no more than one pixel in 10,000 is brighter than black-level noise."""
    luminance = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    bright = np.count_nonzero(luminance > _DARK)
    return bool(bright <= luminance.size * _HOT_PIXELS)


def is_uniform(image: Image) -> bool:
    """Whether all pixels have one colour but for noise: a blank decoder picture, a white-out."""
    step = max(1, min(image.shape[:2]) // _SAMPLED_ROWS)
    return bool(is_flat(np.ascontiguousarray(image[::step, ::step])))


def is_flat(image: Image) -> bool:
    """Whether each channel's standard deviation is at most 1.5 of 255 levels."""
    _, deviation = cv2.meanStdDev(image)
    return bool(deviation.max() <= _FLAT)


def identical(one: Image, other: Image) -> bool:
    """Whether two pictures are equal in every value."""
    return one.shape == other.shape and bool(cv2.norm(one, other, cv2.NORM_INF) == 0)


def repeats_a_band(before: Image, image: Image) -> bool:
    """Whether an eighth or more of the rows, side by side, is an exact repeat with a texture.

    A decoder that lost a slice shows the last picture there; a camera's noise never repeats. Flat
    areas (an overexposed sky, black bars) repeat in honest pictures and do not count.
    """
    if before.shape != image.shape:
        return False
    rows = image.shape[0]
    width = max(1, rows // _BAND)
    old, new = before.reshape(rows, -1), image.reshape(rows, -1)
    same = (old[:, ::_COLUMNS] == new[:, ::_COLUMNS]).all(axis=1)
    for top, bottom in _runs(same, width):
        exact = (old[top:bottom] == new[top:bottom]).all(axis=1)
        if any(not is_flat(image[top + a : top + b]) for a, b in _runs(exact, width)):
            return True
    return False


def _runs(flags: npt.NDArray[np.bool_], shortest: int) -> list[tuple[int, int]]:
    """First and last + 1 of the runs of true flags that are long enough."""
    edges = np.flatnonzero(np.diff(flags.astype(np.int8), prepend=0, append=0))
    pairs = edges.reshape(-1, 2).tolist()
    return [(first, end) for first, end in pairs if end - first >= shortest]


def fingerprint(image: Image) -> tuple[int, ...]:
    """Shape and a hash of rows spread over the picture, at most 128 KiB of it."""
    step = max(1, -(-image.nbytes // _HASHED_BYTES))
    return (*image.shape, zlib.crc32(np.ascontiguousarray(image[::step]).data))
