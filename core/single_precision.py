"""Float64 numbers rounded to float32 in one direction, so that a bound stays a bound."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Single = npt.NDArray[np.float32]


def float32_down(value: npt.NDArray[np.floating[Any]]) -> Single:
    """Largest float32 at most each value."""
    if value.dtype == np.float32:
        return np.asarray(value, np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        rounded = value.astype(np.float32)
        below = np.nextafter(rounded, np.float32(-np.inf))
        return np.where(rounded.astype(value.dtype) > value, below, rounded)


def float32_up(value: npt.NDArray[np.floating[Any]]) -> Single:
    """Smallest float32 at least each value."""
    return -float32_down(-value)
