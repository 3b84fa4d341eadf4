"""Pooling, means and resampling."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import onnx

from lipdeploy.core.errors import VerificationError
from lipdeploy.core.matrix_norm import matrix_norm_bound
from lipdeploy.export.verifier.axes import Windows, pool_windows
from lipdeploy.export.verifier.graph import attributes, label
from lipdeploy.export.verifier.operators.pooling import reduced_axes
from lipdeploy.export.verifier.resize import resamplings
from lipdeploy.export.verifier.rules.walk import Rule, Walk, factors
from lipdeploy.export.verifier.rules.weights import (
    Weights,
    compressed,
)

Matrix = npt.NDArray[np.float64]


def largest_along(weights: Weights, axis: int) -> Weights:
    """The largest weight along one axis in place of all."""
    return np.asarray(weights.max(axis, keepdims=True))


def _max_pool(walk: Walk, node: onnx.NodeProto) -> None:
    """A maximum moves by at most the l2 norm of its window; windows that overlap add up."""
    if "".join(node.output[1:]):
        raise VerificationError(f"{label(node)}: the indices of the maxima are not known")
    weights = walk.take(node.output[0])
    for i, axis in enumerate(_windows(walk, node)):
        weights = largest_along(weights, i + 2) * math.sqrt(axis.overlap())
    walk.add(node.input[0], compressed(weights))


def _average_pool(walk: Walk, node: onnx.NodeProto) -> None:
    """The product of the norms of the two averaging matrices.

    Where engines count differently (a window over the end in ceil_mode), the smaller divisor holds
    for all: a non-negative matrix with larger entries has no smaller norm.
    """
    found = attributes(node)
    counted = bool(found.get("count_include_pad", 0)) and not found.get("ceil_mode", 0)
    axes = enumerate(_windows(walk, node), start=2)
    matrices = {i: axis.mean_matrix(count_padding=counted) for i, axis in axes}
    _separable(walk, node, matrices)


def _windows(walk: Walk, node: onnx.NodeProto) -> list[Windows]:
    """Windows along the spatial axes; their number is the one that the file implies.

    ONNX counts a last window that starts in the padding, ONNX Runtime and torch drop it.
    """
    axes = pool_windows(attributes(node), walk.shape(node.input[0])[2:])
    counts, implied = [axis.count for axis in axes], list(walk.shape(node.output[0])[2:])
    if counts != implied:
        raise VerificationError(
            f"{label(node)}: engines differ on ceil_mode here ({counts} or {implied} windows)"
        )
    return axes


def _separable(walk: Walk, node: onnx.NodeProto, matrices: dict[int, Matrix]) -> None:
    """One matrix along each of some axes: a Kronecker product, whose norm is the product."""
    weights = walk.take(node.output[0])
    for axis, matrix in matrices.items():
        norm = factors(node, matrix_norm_bound(matrix))
        weights = largest_along(weights, axis) * norm
    walk.add(node.input[0], compressed(weights))


def _resize(walk: Walk, node: onnx.NodeProto) -> None:
    """Exact along each axis: copies of the nearest element are counted, blends have a matrix."""
    found, shape = attributes(node), walk.shape(node.input[0])
    scales, sizes = walk.optional(node, 2), walk.optional(node, 3)
    changed = resamplings(found, shape, scales, sizes)
    for axis, size in enumerate(walk.shape(node.output[0])):
        if (changed[axis].resized if axis in changed else shape[axis]) != size:
            raise VerificationError(f"{label(node)}: output of {size} along axis {axis}")
    _separable(walk, node, {axis: r.majorant(found) for axis, r in changed.items()})


def _mean(walk: Walk, node: onnx.NodeProto) -> None:
    """The mean of n elements: 1 / sqrt(n)."""
    shape, weights = walk.shape(node.input[0]), walk.take(node.output[0])
    axes, keep = _reduction(walk, node, len(shape))
    if not keep:
        kept = iter(weights.shape)
        weights = weights.reshape([1 if i in axes else next(kept) for i in range(len(shape))])
    count = math.prod(shape[i] for i in axes)
    walk.add(node.input[0], compressed(weights / math.sqrt(count)))


def _reduction(walk: Walk, node: onnx.NodeProto, rank: int) -> tuple[tuple[int, ...], bool]:
    if node.op_type == "GlobalAveragePool":
        return tuple(range(2, rank)), True
    found = attributes(node)
    return reduced_axes(found, rank, walk.optional(node, 1)), bool(found.get("keepdims", 1))


_POOL = frozenset({"auto_pad", "ceil_mode", "dilations", "kernel_shape", "pads", "strides"})
_RESIZE = frozenset(
    {"antialias", "axes", "coordinate_transformation_mode", "cubic_coeff_a", "exclude_outside"}
    | {"extrapolation_value", "keep_aspect_ratio_policy", "mode", "nearest_mode"}
)

RULES: dict[str, Rule] = {
    "AveragePool": Rule(_average_pool, _POOL | {"count_include_pad"}),
    "GlobalAveragePool": Rule(_mean),
    "GlobalMaxPool": Rule(lambda walk, node: walk.add(node.input[0], walk.take(node.output[0]))),
    "MaxPool": Rule(_max_pool, _POOL | {"storage_order"}),
    "ReduceMean": Rule(_mean, frozenset({"axes", "keepdims", "noop_with_empty_axes"})),
    "Resize": Rule(_resize, _RESIZE),
}
