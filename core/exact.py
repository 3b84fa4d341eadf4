"""Is a sum of squares at most a square, exactly: the one comparison that decides a tie."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

_SPLIT = 2.0**27 + 1.0

Floats = npt.NDArray[np.float64]


def product_rest(a: Floats, b: Floats, product: Floats) -> Floats:
    """What rounding took from `product` = fl(a b): a b = product + rest without error.

    Exact for magnitudes within 2^-450..2^450 and for 0.

    Source: Dekker 1971.
    """
    (a_high, a_low), (b_high, b_low) = _halves(a), _halves(b)
    rest = ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low
    return np.asarray(rest)


def sum_rest(a: Floats, b: Floats, total: Floats) -> Floats:
    """What rounding took from `total` = fl(a + b): a + b = total + rest without error.

    Source: Knuth 1969.
    """
    step = total - a
    return np.asarray((a - (total - step)) + (b - step))


def _halves(value: Floats) -> tuple[Floats, Floats]:
    """Two floats of half the digits that add up to the value."""
    wide = value * _SPLIT
    high = wide - (wide - value)
    return high, value - high


def squares_fit(root: npt.NDArray[np.float64], budget_root: float) -> bool:
    """Whether sum(root^2) <= budget_root^2 in real arithmetic.

    Values are 0 or within 2^-450..2^450, any shape. `math.fsum` rounds the exact sum once, so its
    sign is that of the sum.
    """
    bound = np.array([budget_root], np.float64)
    terms = [root.ravel() ** 2, _square_rest(root.ravel())]
    terms += [-(bound**2), -_square_rest(bound)]
    return math.fsum(np.concatenate(terms).tolist()) <= 0.0


def _square_rest(root: Floats) -> Floats:
    return product_rest(root, root, root**2)
