"""Radii counted in buckets: an upper bound on the flips after one pass, without a sort.

The upper 17 bits of a float32 (the sign is 0) name its bucket, 2^-8 of an octave wide, so radii in
one bucket differ by less than 0.4 %. Every radius is rounded down to the edge of its bucket.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lipdeploy.core.certificate import checked_budgets, rounding_inflation
from lipdeploy.core.single_precision import float32_down

_SHIFT = 15
_FINITE = 0x7F800000 >> _SHIFT  # buckets of finite radii


def count_flips_upper(
    radius: npt.NDArray[np.floating], eps: float | npt.NDArray[np.floating]
) -> npt.NDArray[np.int64]:
    """Upper bound on the number of pixels that a perturbation of l2 norm `eps` can change.

    Never below `count_flips`, and never above the number of finite radii.

    Args:
        radius: any shape; infinity for a fixed pixel; NaN and negative count as 0.
        eps: one budget or an array of budgets; NaN counts as infinite.

    Returns:
        Counts, shaped like `eps`.

    Source: Massena et al. 2025, Eq. 11, relaxed.
    """
    checked_budgets(eps)
    pixels, edge_cost = _buckets(radius)
    paid = np.append(0.0, np.cumsum(pixels * edge_cost))
    below = np.append(0, np.cumsum(pixels))
    with np.errstate(over="ignore"):  # an infinite budget buys every finite pixel
        budget = np.square(np.asarray(eps, np.float64)) * rounding_inflation(radius.size)
    full = np.searchsorted(paid, budget, side="right") - 1
    partial = np.minimum(full, _FINITE - 1)  # where all fit, `rest` is cut to nothing below
    with np.errstate(over="ignore"):
        rest = np.floor((budget - paid[full]) / np.maximum(edge_cost[partial], edge_cost[1]))
    left = (below[np.minimum(full + 1, _FINITE)] - below[full]).astype(np.float64)
    return np.asarray(below[full] + np.fmin(rest, left).astype(np.int64), np.int64)


def _buckets(
    radius: npt.NDArray[np.floating],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Number of radii and smallest possible squared radius of each bucket of finite radii."""
    sound = np.fmax(float32_down(np.ravel(radius)), np.float32(0.0)) + np.float32(0.0)
    pixels = np.bincount(sound.view(np.uint32) >> _SHIFT, minlength=_FINITE)[:_FINITE]
    edges = (np.arange(_FINITE, dtype=np.uint32) << np.uint32(_SHIFT)).view(np.float32)
    return pixels.astype(np.int64), np.square(edges.astype(np.float64))
