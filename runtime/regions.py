"""Connected regions of one predicted class, and which of them a budget cannot wear down.

A region is stable at eps when no perturbation with ||delta||_2 <= eps changes more than a share
1 - keep of its pixels, the whole budget spent on it alone. Every region is judged against the
whole budget, so the statements of all regions hold at once.

Source: Massena et al. 2025, Sec. 4.2, Eq. 11 and 14.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from lipdeploy.core.segments import certify_segments

_CONNECTIVITY = 4


@dataclass(frozen=True)
class Region:
    """One connected region.

    Attributes:
        class_id: the class predicted on all of it.
        area: pixels, at the network's resolution.
        bbox: x, y, width, height in pixels, at the network's resolution.
        flips: upper bound on its pixels that a perturbation of norm eps can change.
        budget: lower bound on the l2 norm that changes more than a share 1 - keep of it;
            infinite where keep is 0.
        stable: whether `flips` leaves a share `keep` of it in place.
    """

    class_id: int
    area: int
    bbox: tuple[int, int, int, int]
    flips: int
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
    found = _segments(mask, max(1, min_area))
    boxes = found.boxes
    allowed = np.floor((1 - keep) * boxes[:, cv2.CC_STAT_AREA]).astype(np.int64)
    certified = certify_segments(found.number, radius, eps, allowed + 1)
    # Two roundings of one statement: both must hold.
    stable = (certified.flips <= allowed) & (certified.budget > eps)
    order = np.argsort(-boxes[:, cv2.CC_STAT_AREA], kind="stable")
    regions = tuple(
        Region(
            class_id=found.classes[k],
            area=int(certified.area[k]),
            bbox=tuple(boxes[k, :4].tolist()),
            flips=int(certified.flips[k]),
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


def _places(order: npt.NDArray[np.integer]) -> npt.NDArray[np.int32]:
    place = np.empty(len(order), np.int32)
    place[order] = np.arange(len(order), dtype=np.int32)
    return place


@dataclass(frozen=True)
class _Segments:
    """Region number of each pixel (H, W), -1 where tiny; x, y, width, height, area; class."""

    number: npt.NDArray[np.int32]
    boxes: npt.NDArray[np.int32]
    classes: list[int]
    tiny_count: int


def _segments(mask: npt.NDArray[np.uint8], min_area: int) -> _Segments:
    number = np.full(mask.shape, -1, np.int32)
    boxes = [np.zeros((0, 5), np.int32)]
    classes: list[int] = []
    tiny_count = 0
    for class_id in np.flatnonzero(np.bincount(mask.ravel())).tolist():
        inside = (mask == class_id).view(np.uint8)
        _, labels, stats, _ = cv2.connectedComponentsWithStats(
            inside, connectivity=_CONNECTIVITY, ltype=cv2.CV_32S
        )
        large = stats[:, cv2.CC_STAT_AREA] >= min_area
        large[0] = False  # label 0 is the outside of the class
        count = int(large.sum())
        renumbered = np.full(len(stats), -1, np.int32)
        renumbered[large] = np.arange(len(classes), len(classes) + count)
        np.copyto(number, renumbered[labels], where=inside > 0)
        boxes.append(np.asarray(stats[large], np.int32))
        classes += [class_id] * count
        tiny_count += len(stats) - 1 - count
    return _Segments(number, np.concatenate(boxes), classes, tiny_count)


def _class_share(
    mask: npt.NDArray[np.uint8], radius: npt.NDArray[np.float32], eps: float
) -> dict[int, float]:
    classes = int(mask.max(initial=0)) + 1
    found = certify_segments(mask, radius, eps, np.ones(classes, np.int64))
    return {int(k): 1.0 - float(found.flips[k] / found.area[k]) for k in np.flatnonzero(found.area)}
