"""Weights of a tensor's elements, and how they go back through copies and sums.

Weights have the rank of their tensor; an axis along which they do not differ may have length 1.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Weights = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]


def compressed(weights: Weights) -> Weights:
    """The same weights with length 1 along every axis where they do not differ."""
    for axis in range(weights.ndim):
        first = weights.take([0], axis)
        if weights.shape[axis] > 1 and (weights == first).all():
            weights = first
    return weights


def uniform(weights: Weights, rank: int) -> Weights:
    """The largest weight for all elements of a tensor of some rank."""
    return np.full((1,) * rank, weights.max(initial=0.0))


def per_index(weights: Weights, axis: int, size: int) -> npt.NDArray[np.float64]:
    """The largest weight at each index of one axis. Shape: (size,)."""
    others = tuple(i for i in range(weights.ndim) if i != axis)
    return np.broadcast_to(weights.max(others), (size,)).copy()


def gathered_back(weights: Weights, axis: int, places: Index, size: int) -> Weights:
    """Weights of x for y = x[places] along an axis, -1 meaning a constant: an equality.

    An element that is copied gets the root of the sum of its copies' squares.
    """
    inside = places >= 0
    if weights.shape[axis] == 1:
        copies = np.bincount(places[inside], minlength=size)
        shape = [size if i == axis else 1 for i in range(weights.ndim)]
        return compressed(weights * np.sqrt(copies.reshape(shape)))
    largest = float(weights.max()) or 1.0
    squares = np.moveaxis(weights / largest, axis, 0) ** 2
    total = np.zeros((size, *squares.shape[1:]))
    np.add.at(total, places[inside], squares[inside])
    return compressed(largest * np.sqrt(np.moveaxis(total, 0, axis)))


def unbroadcast(weights: Weights, shape: tuple[int, ...], before: tuple[int, ...]) -> Weights:
    """Weights of a tensor of shape `before` that is broadcast to `shape`: an equality."""
    for axis, size in enumerate(shape):
        own = axis - len(shape) + len(before)
        if size > 1 and (own < 0 or before[own] == 1):
            weights = gathered_back(weights, axis, np.zeros(size, np.int64), 1)
    return weights.reshape(weights.shape[len(shape) - len(before) :])


def reshaped(weights: Weights, shape: tuple[int, ...], before: tuple[int, ...]) -> Weights:
    """Weights of a tensor of shape `before` that is reshaped to `shape`: an equality."""
    if weights.size == 1:
        return weights.reshape((1,) * len(before))
    return compressed(np.broadcast_to(weights, shape).reshape(before))
