"""Connected regions of equal class, numbered: the reference, by OpenCV class after class."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

_CONNECTIVITY = 4


@dataclass(frozen=True)
class RegionLabels:
    """4-connected regions of equal class.

    Attributes:
        number: region number of each pixel, shape (H, W), -1 in a region below the smallest area.
        boxes: x, y, width, height in pixels, one row a region, shape (S, 4).
        area: pixels of each region, shape (S,).
        class_id: class of each region, shape (S,), ascending.
        tiny_count: number of regions below the smallest area.
    """

    number: npt.NDArray[np.int32]
    boxes: npt.NDArray[np.int32]
    area: npt.NDArray[np.int32]
    class_id: npt.NDArray[np.int32]
    tiny_count: int


def label_regions(mask: npt.NDArray[np.uint8], min_area: int) -> RegionLabels:
    """Find the regions of all classes.

    Regions are numbered by class, then in the raster order of their first pixels.

    Args:
        mask: class ids, shape (H, W).
        min_area: regions below it get no number.
    """
    number = np.full(mask.shape, -1, np.int32)
    rows = [np.zeros((0, 6), np.int32)]
    found = tiny_count = 0
    for class_id in np.flatnonzero(np.bincount(mask.ravel())).tolist():
        inside = (mask == class_id).view(np.uint8)
        _, labels, stats, _ = cv2.connectedComponentsWithStats(
            inside, connectivity=_CONNECTIVITY, ltype=cv2.CV_32S
        )
        large = stats[:, cv2.CC_STAT_AREA] >= min_area
        large[0] = False  # label 0 is the outside of the class
        count = int(large.sum())
        renumbered = np.full(len(stats), -1, np.int32)
        renumbered[large] = np.arange(found, found + count)
        np.copyto(number, renumbered[labels], where=inside > 0)
        rows.append(np.insert(np.asarray(stats[large], np.int32), 5, class_id, axis=1))
        found += count
        tiny_count += len(stats) - 1 - count
    table = np.concatenate(rows)
    return RegionLabels(number, table[:, :4], table[:, 4], table[:, 5], tiny_count)
