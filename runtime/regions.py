"""Connected regions of one predicted class, and which of them a budget cannot wear down.

A region is stable at eps when no perturbation with ||delta||_2 <= eps changes more than a share
1 - keep of its pixels, the whole budget spent on it alone. Every region is judged against the
whole budget, so the statements of all regions hold at once.

Source: Massena et al. 2025, Sec. 4.2, Eq. 11 and 14.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lipdeploy.core.compiled import certify_segments, label_regions
from lipdeploy.core.objectives import exact_share


@dataclass(frozen=True)
class Region:
    """One connected region.

    Attributes:
        class_id: the class predicted on all of it.
        area: pixels, at the network's resolution.
        bbox: x, y, width, height in pixels, at the network's resolution.
        flips: upper bound on its pixels that a perturbation of norm eps can change.
        flips_alone: pixels whose own radius does not exceed eps: the pixelwise count.
        budget: lower bound on the l2 norm that changes more than a share 1 - keep of it;
            infinite where keep is 0.
        stable: whether `flips` leaves a share `keep` of it in place.
    """

    class_id: int
    area: int
    bbox: tuple[int, int, int, int]
    flips: int
    flips_alone: int
    budget: float
    stable: bool


@dataclass(frozen=True)
class RegionMap:
    """All regions of an image, and the pixels that may be drawn as stable.

    Attributes:
        regions: those of at least `min_area` pixels, largest first.
        tiny_count: number of smaller regions; none of them is stable.
        tiny_area: pixels in smaller regions; `area` of all regions and this add up to H * W.
        stable: pixels of stable regions, shape (H, W), bool.
        class_share: 1 - flips / area of each predicted class as a whole, by class id.
        number: place in `regions` of each pixel's region, shape (H, W), int32; -1 where it is tiny.
    """

    regions: tuple[Region, ...]
    tiny_count: int
    tiny_area: int
    stable: npt.NDArray[np.bool_]
    class_share: dict[int, float]
    number: npt.NDArray[np.int32]


def find_regions(
    mask: npt.NDArray[np.uint8],
    radius: npt.NDArray[np.float32],
    eps: float,
    keep: float = 0.9,
    min_area: int = 16,
) -> RegionMap:
    """Judge every region of a prediction.

    Args:
        mask: class ids, shape (H, W).
        radius: radii, shape (H, W), >= 0 and not NaN.
        eps: budget, >= 0.
        keep: share of a region that must stay, 0..1.
        min_area: smaller regions are never stable.
    """
    found = label_regions(mask, max(1, min_area))
    allowed = _allowed(found.area, keep)
    certified = certify_segments(found.number, radius, eps, allowed + 1)
    # Two roundings of one statement: both must hold.
    stable = (certified.flips <= allowed) & (certified.budget > eps)
    exposed = found.number[radius <= np.float64(eps)]
    alone = np.bincount(exposed + 1, minlength=len(found.area) + 1)[1:]  # -1, tiny, goes first
    order = np.argsort(-found.area, kind="stable")
    regions = tuple(
        Region(
            class_id=int(found.class_id[k]),
            area=int(certified.area[k]),
            bbox=tuple(found.boxes[k].tolist()),
            flips=int(certified.flips[k]),
            flips_alone=int(alone[k]),
            budget=float(certified.budget[k]),
            stable=bool(stable[k]),
        )
        for k in order.tolist()
    )
    return RegionMap(
        regions=regions,
        tiny_count=found.tiny_count,
        tiny_area=int((found.number < 0).sum()),
        stable=np.append(stable, False)[found.number],  # tiny regions look up the last, as -1
        class_share=_class_share(mask, radius, eps),
        number=np.append(_places(order), np.int32(-1))[found.number],
    )


def _allowed(area: npt.NDArray[np.integer], keep: float) -> npt.NDArray[np.int64]:
    """Most pixels of each region that may change: 0.9 is nine tenths, as written."""
    change = 1 - exact_share(keep)
    most = (change.numerator * size // change.denominator for size in area.tolist())
    return np.fromiter(most, np.int64, len(area))


def _places(order: npt.NDArray[np.integer]) -> npt.NDArray[np.int32]:
    place = np.empty(len(order), np.int32)
    place[order] = np.arange(len(order), dtype=np.int32)
    return place


def _class_share(
    mask: npt.NDArray[np.uint8], radius: npt.NDArray[np.float32], eps: float
) -> dict[int, float]:
    classes = int(mask.max(initial=0)) + 1
    found = certify_segments(mask, radius, eps, np.ones(classes, np.int64))
    return {int(k): 1.0 - float(found.flips[k] / found.area[k]) for k in np.flatnonzero(found.area)}
