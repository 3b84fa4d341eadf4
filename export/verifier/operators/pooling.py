"""Pooling, reductions and resampling in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from lipdeploy.export.verifier.axes import pool_windows
from lipdeploy.export.verifier.resize import resamplings

Array = npt.NDArray[np.float64]
Found = dict[str, Any]


def along(x: Array, matrix: Array, axis: int) -> Array:
    """Apply a matrix (M, N) along one axis of N elements."""
    return np.moveaxis(np.tensordot(matrix, x, axes=(1, axis)), 0, axis)


def _max_pool(found: Found, x: Array) -> list[Array]:
    for i, axis in enumerate(pool_windows(found, x.shape[2:])):
        taps = axis.taps()
        shape = [1] * (x.ndim + 1)
        shape[i + 2], shape[i + 3] = taps.shape
        gathered = np.take(x, np.maximum(taps, 0), i + 2)
        x = np.where((taps < 0).reshape(shape), -np.inf, gathered).max(i + 3)
    return [x]


def _average_pool(found: Found, x: Array) -> list[Array]:
    count_padding = bool(found.get("count_include_pad", 0))
    for i, axis in enumerate(pool_windows(found, x.shape[2:])):
        x = along(x, axis.mean_matrix(count_padding=count_padding), i + 2)
    return [x]


def reduced_axes(found: Found, rank: int, axes: npt.NDArray[Any] | None) -> tuple[int, ...]:
    """Axes of a reduction; all of them where none are given.

    Raises:
        ValueError: an axis is named twice.
    """
    if axes is None and "axes" in found:
        axes = np.asarray(found["axes"])
    if axes is None or not axes.size:
        return () if found.get("noop_with_empty_axes", 0) else tuple(range(rank))
    found_axes = tuple(int(a) % rank for a in axes)
    if len(set(found_axes)) < len(found_axes):
        raise ValueError(f"axes {[int(a) for a in axes]} name one twice")
    return found_axes


def _reduce_mean(found: Found, x: Array, axes: Any = None) -> list[Array]:
    keep = bool(found.get("keepdims", 1))
    return [x.mean(reduced_axes(found, x.ndim, axes), keepdims=keep)]


def _resize(
    found: Found, x: Array, roi: Any = None, scales: Any = None, sizes: Any = None
) -> list[Array]:
    for axis, resampling in resamplings(found, x.shape, scales, sizes).items():
        x = along(x, resampling.matrix(found), axis)
    return [x]


OPERATORS: dict[str, Callable[..., list[Any]]] = {
    "AveragePool": _average_pool,
    "GlobalAveragePool": lambda _, x: [x.mean(tuple(range(2, x.ndim)), keepdims=True)],
    "GlobalMaxPool": lambda _, x: [x.max(tuple(range(2, x.ndim)), keepdims=True)],
    "MaxPool": _max_pool,
    "ReduceMean": _reduce_mean,
    "Resize": _resize,
}
