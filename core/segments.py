"""Certificates of all segments of an image in one sort: regions, classes, or any partition.

Costs are summed as int64 fixed point, rounded down, so sums are exact, independent of the order and
never above the real ones. Radii above 2 count as 2: sound, and beyond any usual budget.

Source: Massena et al. 2025, Sec. 4.2, Eq. 11 and 14 on subsets.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

LARGEST_RADIUS = 2.0


@dataclass(frozen=True)
class SegmentCertificates:
    """One entry a segment.

    Attributes:
        area: pixels.
        flips: upper bound on its pixels that `eps` can change, spent on it alone.
        budget: lower bound on the l2 norm that changes `needed` of its pixels; infinite where it
            has fewer.
    """

    area: npt.NDArray[np.int64]
    flips: npt.NDArray[np.int64]
    budget: npt.NDArray[np.float64]


def areas(segment: npt.NDArray[np.integer], segments: int) -> npt.NDArray[np.int64]:
    """Pixels of each segment; negative numbers are left out."""
    return np.bincount(segment[segment >= 0], minlength=segments).astype(np.int64)


def certify_segments(
    segment: npt.NDArray[np.integer],
    radius: npt.NDArray[np.float32],
    eps: float,
    needed: npt.NDArray[np.integer],
) -> SegmentCertificates:
    """Flips and budgets of every segment.

    Args:
        segment: segment number of each pixel, 0..S-1; negative pixels are left out.
        radius: radius of each pixel, same shape, float32, >= 0 (NaN counts as 0).
        eps: budget, >= 0.
        needed: flips that `budget` is asked for, one a segment, shape (S,), >= 1.
    """
    inside = segment >= 0
    sizes = areas(segment, len(needed))
    scale = 2.0 ** (60 - max(1, int(sizes.sum()).bit_length()))
    # Segment number above, radius bits below: floats >= 0 order like their bits.
    sound = np.fmax(radius[inside], np.float32(0.0)) + np.float32(0.0)
    key = segment[inside].astype(np.uint64) << np.uint64(32)
    key |= sound.view(np.uint32).astype(np.uint64)
    key.sort()
    bits = (key & np.uint64(0xFFFFFFFF)).astype(np.uint32)
    clipped = np.minimum(bits.view(np.float32).astype(np.float64), LARGEST_RADIUS)
    total = np.concatenate([[0], np.cumsum((np.square(clipped) * scale).astype(np.int64))])
    stop = np.cumsum(sizes)
    start = stop - sizes
    within = min(eps, 2.0 * LARGEST_RADIUS * math.sqrt(key.size + 1))
    spend = math.ceil(within * within * (1.0 + 2.0**-50) * scale) + 1
    limit = np.minimum(total[start] + min(spend, 2**62), total[-1])
    flips = np.searchsorted(total, limit, side="right") - 1 - start
    reached = np.minimum(start + needed, total.size - 1)
    exact = np.sqrt((total[reached] - total[start]) / scale) * (1.0 - 2.0**-50)
    budget = np.where(needed <= sizes, exact, math.inf)
    return SegmentCertificates(sizes, np.minimum(flips, sizes), budget)
