"""Connected regions of one predicted class, and which of them a budget cannot wear down.

A region is stable at eps when no perturbation with ||delta||_2 <= eps changes more than a share
1 - keep of its pixels, the whole budget spent on it alone. Every region is judged against the
whole budget, so the statements of all regions hold at once.

Source: Massena et al. 2025, Sec. 4.2, Eq. 11 and 14.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from lipdeploy.core.certificate import budget_for_flips, count_flips

_CONNECTIVITY = 4
_BUDGETS = 50


@dataclass(frozen=True)
class Region:
    """One connected region.

    Attributes:
        class_id: the class predicted on all of it.
        area: pixels, at the network's resolution.
        bbox: x, y, width, height in pixels, at the network's resolution.
        flips: upper bound on its pixels that a perturbation of norm eps can change.
        budget: lower bound on the l2 norm that changes more than a share 1 - keep of it;
            None where it was not computed (beyond the largest 50).
        stable: whether `flips` leaves a share `keep` of it in place.
    """

    class_id: int
    area: int
    bbox: tuple[int, int, int, int]
    flips: int
    budget: float | None
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
    """

    regions: tuple[Region, ...]
    tiny_count: int
    tiny_area: int
    stable: npt.NDArray[np.bool_]
    class_share: dict[int, float]


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
    segment, boxes = found.number, found.boxes
    order = np.argsort(-boxes[:, cv2.CC_STAT_AREA], kind="stable").tolist()
    regions = []
    is_stable = np.zeros(len(boxes) + 1, np.bool_)  # the last is looked up for tiny regions, as -1
    for rank, number in enumerate(order):
        x, y, width, height, area = boxes[number].tolist()
        allowed = math.floor((1 - keep) * area)
        inside = _radii(segment, radius, (x, y, width, height), number)
        count = _flips(inside, eps)
        budget = budget_for_flips(inside, allowed + 1) if rank < _BUDGETS else None
        # Two roundings of one statement: both must hold.
        stable = count <= allowed and (budget is None or budget > eps)
        is_stable[number] = stable
        box = (x, y, width, height)
        regions.append(Region(found.classes[number], area, box, count, budget, stable))
    return RegionMap(
        regions=tuple(regions),
        tiny_count=found.tiny_count,
        tiny_area=int((segment < 0).sum()),
        stable=is_stable[segment],
        class_share=_class_share(mask, radius, eps),
    )


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


def _radii(
    segment: npt.NDArray[np.int32],
    radius: npt.NDArray[np.float32],
    box: tuple[int, int, int, int],
    number: int,
) -> npt.NDArray[np.float32]:
    x, y, width, height = box
    window = np.s_[y : y + height, x : x + width]
    return np.asarray(radius[window][segment[window] == number])


def _flips(radius: npt.NDArray[np.float32], eps: float) -> int:
    # A pixel whose own radius exceeds eps can never be bought: only the others need the sort.
    return int(count_flips(radius[radius <= eps], eps))


def _class_share(
    mask: npt.NDArray[np.uint8], radius: npt.NDArray[np.float32], eps: float
) -> dict[int, float]:
    present = np.flatnonzero(np.bincount(mask.ravel())).tolist()
    radii = {class_id: radius[mask == class_id] for class_id in present}
    return {class_id: 1 - _flips(r, eps) / r.size for class_id, r in radii.items()}
