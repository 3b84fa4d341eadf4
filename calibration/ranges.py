"""Where to clip a tensor, from its histogram: min-max, percentile, entropy.

A clip is part of f: it is 1-Lipschitz, so a range that is too small costs accuracy and never the
certificate.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lipdeploy.calibration.histogram import Histogram

PERCENTILE = 99.99
LEVELS = 128  # magnitudes of INT8


def minmax_limit(found: Histogram) -> float:
    """The largest value seen."""
    return found.limit


def percentile_limit(found: Histogram, percentile: float = PERCENTILE) -> float:
    """The upper edge of the bin that the percentile of the absolute values lies in."""
    reached = np.cumsum(found.counts)
    needed = percentile / 100.0 * reached[-1]
    last = int(np.searchsorted(reached, needed, side="left"))
    return found.limit * (min(last, len(reached) - 1) + 1) / len(reached)


def entropy_limit(found: Histogram, levels: int = LEVELS) -> float:
    """The limit at which rounding to `levels` magnitudes loses the least information.

    Least Kullback-Leibler divergence of the clipped histogram from its rounded form.

    Source: Migacz, 8-bit inference with TensorRT, GTC 2017.
    """
    bins = len(found.counts)
    candidates = range(min(levels, bins), bins + 1)
    losses = [divergence(found.counts, kept, levels) for kept in candidates]
    return found.limit * candidates[int(np.argmin(losses))] / bins


def divergence(counts: npt.NDArray[np.int64], kept: int, levels: int) -> float:
    """Divergence of the first `kept` bins, which take in all others, from their rounded form.

    Each of the `levels` groups of bins spreads its counts evenly over those that are not empty.
    Infinite where the rounded form has nothing in a bin that is not empty.
    """
    inside = counts[:kept].astype(np.float64)
    clipped = inside.copy()
    clipped[-1] += counts[kept:].sum()
    group = np.arange(kept) * levels // kept
    sums = np.bincount(group, inside, levels)
    filled = np.bincount(group, inside > 0, levels)
    rounded = np.where(inside > 0, sums[group] / np.maximum(filled[group], 1.0), 0.0)
    if ((clipped > 0) & (rounded == 0)).any():
        return float("inf")
    p, q = clipped / clipped.sum(), rounded / rounded.sum()
    there = p > 0
    return float((p[there] * np.log(p[there] / q[there])).sum())


METHODS = {"minmax": minmax_limit, "percentile": percentile_limit, "entropy": entropy_limit}
