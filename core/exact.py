"""Is a sum of squares at most a square, exactly: the one comparison that decides a tie."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

_SPLIT = 2.0**27 + 1.0


def square_rest(
    value: npt.NDArray[np.float64], square: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """What rounding took from `square` = fl(value^2): value^2 = square + rest without error.

    Exact for magnitudes within 2^-450..2^450 and for 0.

    Source: Dekker 1971.
    """
    wide = value * _SPLIT
    high = wide - (wide - value)
    low = value - high
    return np.asarray(((high * high - square) + 2.0 * high * low) + low * low)


def squares_fit(root: npt.NDArray[np.float64], budget_root: float) -> bool:
    """Whether sum(root^2) <= budget_root^2 in real arithmetic.

    Values are 0 or within 2^-450..2^450, any shape. `math.fsum` rounds the exact sum once, so its
    sign is that of the sum.
    """
    bound = np.array([budget_root], np.float64)
    terms = [root.ravel() ** 2, square_rest(root.ravel(), root.ravel() ** 2)]
    terms += [-(bound**2), -square_rest(bound, bound**2)]
    return math.fsum(np.concatenate(terms).tolist()) <= 0.0
