"""The certificates of this room, by the compiled core where it is there.

Same names, signatures and results as the NumPy functions, which stay the reference and take over
where the module was not built or the arrays are of another type than the deployed one (float32
radii, uint8 classes). `COMPILED` says which is in use.
"""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from lipdeploy.core import certificate, class_iou, components, histogram, segments
from lipdeploy.core.certificate import CostCurve, FloatArray
from lipdeploy.core.class_iou import IouFrontier, Labels, Radii
from lipdeploy.core.components import RegionLabels
from lipdeploy.core.segments import SegmentCertificates

try:
    from lipdeploy import _native
except ImportError:  # built without a compiler
    COMPILED = False
else:
    COMPILED = True

_Scalar = TypeVar("_Scalar", bound=np.generic)


def count_flips(radius: FloatArray | CostCurve, eps: float | FloatArray) -> npt.NDArray[np.int64]:
    """Number of pixels that a perturbation of l2 norm `eps` can change; ties count.

    Exact; see `certificate.count_flips`. A curve that is there already is cheaper still.
    """
    if isinstance(radius, CostCurve) or not _served(radius):
        return certificate.count_flips(radius, eps)
    budgets = certificate.checked_budgets(eps)
    if budgets.ndim == 0:
        return np.asarray(_native.count_flips(_flat(radius, np.float32), float(budgets)), np.int64)
    return _native.count_flips_curve(_flat(radius, np.float32), _flat(budgets, np.float64)).reshape(
        budgets.shape
    )


def count_flips_upper(
    radius: npt.NDArray[np.float32], eps: float | FloatArray
) -> npt.NDArray[np.int64]:
    """Upper bound on `count_flips` after one pass; see `histogram.count_flips_upper`."""
    if not _served(radius):
        return histogram.count_flips_upper(radius, eps)
    budgets = certificate.checked_budgets(eps)
    return _native.count_flips_upper(_flat(radius, np.float32), _flat(budgets, np.float64)).reshape(
        budgets.shape
    )


def certify_segments(
    segment: npt.NDArray[np.integer],
    radius: npt.NDArray[np.float32],
    eps: float,
    needed: npt.NDArray[np.integer],
) -> SegmentCertificates:
    """Flips and budgets of every segment; see `segments.certify_segments`."""
    if not _served(radius):
        return segments.certify_segments(segment, radius, eps, needed)
    _require_one_shape(segment, radius)
    small = segment.dtype in (np.uint8, np.int32)
    numbers: npt.NDArray[Any] = _flat(segment, segment.dtype.type if small else np.int64)
    asked = _flat(needed, np.int64)
    found = _native.certify_segments(numbers, _flat(radius, np.float32), float(eps), asked)
    return SegmentCertificates(*found)


def iou_frontier(
    truth: Labels, predicted: Labels, leave: Radii, join: Radii, class_id: int, eps: float
) -> IouFrontier:
    """Frontier of one image for one class; see `class_iou.iou_frontier`."""
    labels = truth.dtype == predicted.dtype == np.uint8 and 0 <= class_id <= 255
    if not (labels and _served(leave) and _served(join)):
        return class_iou.iou_frontier(truth, predicted, leave, join, class_id, eps)
    _require_one_shape(truth, predicted, leave, join)
    hits, union, gained = _native.iou_frontier(
        _flat(truth, np.uint8),
        _flat(predicted, np.uint8),
        _flat(leave, np.float32),
        _flat(join, np.float32),
        class_id,
        float(eps),
    )
    return IouFrontier(hits, union, np.arange(gained.size, dtype=np.int64), gained)


def cheapest_first(radius: FloatArray) -> npt.NDArray[np.int64]:
    """Flat indices of the pixels by rising radius; equal radii in order.

    Radii are >= 0; NaN counts as 0 in float32 and comes last in other types.
    """
    if not _served(radius):
        return np.argsort(np.ravel(radius), kind="stable").astype(np.int64)
    return _native.argsort(_flat(radius, np.float32)).astype(np.int64)


def label_regions(mask: npt.NDArray[np.uint8], min_area: int) -> RegionLabels:
    """Find the regions of all classes, in one pass; see `components.label_regions`."""
    if not COMPILED or mask.dtype != np.uint8:
        return components.label_regions(mask, min_area)
    number = np.empty(mask.size, np.int32)
    table, tiny_count = _native.label_regions(np.ascontiguousarray(mask), min_area, number)
    rows = table.reshape(-1, 6)
    return RegionLabels(number.reshape(mask.shape), rows[:, :4], rows[:, 4], rows[:, 5], tiny_count)


def _require_one_shape(*arrays: npt.NDArray[Any]) -> None:
    """The module sees flat arrays only: one that is transposed would go unnoticed there."""
    shapes = {array.shape for array in arrays}
    if len(shapes) > 1:
        raise ValueError(f"arrays have shapes {sorted(shapes)}; expected one and the same")


def _served(radius: FloatArray) -> bool:
    return COMPILED and radius.dtype == np.float32


def _flat(array: npt.NDArray[Any], dtype: type[_Scalar]) -> npt.NDArray[_Scalar]:
    """The array in one axis; `dtype` is the one that it has, or one that holds all its values."""
    return np.ascontiguousarray(array, dtype).reshape(-1)
