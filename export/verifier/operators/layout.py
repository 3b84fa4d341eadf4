"""Operators that move, copy or drop elements."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from lipdeploy.export.verifier.axes import pad_index, text

Array = npt.NDArray[Any]
Found = dict[str, Any]


def split_sizes(found: Found, size: int, parts: int, sizes: Array | None) -> list[int]:
    """Lengths of the parts of a Split along its axis.

    Raises:
        ValueError: they do not add up to the axis.
    """
    if sizes is not None:
        lengths = [int(v) for v in sizes]
    else:
        step = -(-size // parts)
        lengths = [max(0, min(step, size - i * step)) for i in range(parts)]
    if len(lengths) != parts or sum(lengths) != size or min(lengths) < 0:
        raise ValueError(f"parts of {lengths} do not make up {size}")
    return lengths


def _split(found: Found, x: Array, sizes: Array | None = None) -> list[Array]:
    axis = int(found.get("axis", 0))
    parts = int(found.get("num_outputs", 0)) if sizes is None else len(sizes)
    lengths = split_sizes(found, x.shape[axis], parts, sizes)
    return list(np.split(x, np.cumsum(lengths)[:-1], axis))


def slices(
    shape: tuple[int, ...], starts: Array, ends: Array, axes: Array | None, steps: Array | None
) -> dict[int, npt.NDArray[np.int64]]:
    """Positions that a Slice takes along each of its axes."""
    chosen = range(len(starts)) if axes is None else [int(a) % len(shape) for a in axes]
    strides = [1] * len(starts) if steps is None else [int(s) for s in steps]
    lengths = {len(starts), len(ends), len(chosen), len(strides), len(set(chosen))}
    if len(lengths) != 1 or 0 in strides:
        raise ValueError("starts, ends, axes and steps do not fit together")
    found = {}
    for axis, start, end, step in zip(chosen, starts, ends, strides, strict=True):
        size = shape[axis]
        first, last = (int(v) + (size if v < 0 else 0) for v in (start, end))
        low, high = (0, size) if step > 0 else (-1, size - 1)
        first = min(max(first, 0), high)
        found[axis] = np.arange(first, min(max(last, low), high), step)
    return found


def _slice(
    _: Found, x: Array, starts: Array, ends: Array, axes: Any = None, steps: Any = None
) -> list[Array]:
    for axis, places in slices(x.shape, starts, ends, axes, steps).items():
        x = np.take(x, places, axis)
    return [x]


def depth_to_space(found: Found, x: Array) -> list[Array]:
    """Channels to blocks of pixels, in either order."""
    b = int(found["blocksize"])
    n, channels, h, w = x.shape
    c = channels // b**2
    if text(found, "mode", "DCR") == "CRD":
        cells = x.reshape(n, c, b, b, h, w).transpose(0, 1, 4, 2, 5, 3)
    else:
        cells = x.reshape(n, b, b, c, h, w).transpose(0, 3, 4, 1, 5, 2)
    return [cells.reshape(n, c, h * b, w * b)]


def space_to_depth(found: Found, x: Array) -> list[Array]:
    """Blocks of pixels to channels: the inverse of depth_to_space in DCR order."""
    b = int(found["blocksize"])
    n, c, h, w = x.shape
    cells = x.reshape(n, c, h // b, b, w // b, b).transpose(0, 3, 5, 1, 2, 4)
    return [cells.reshape(n, c * b * b, h // b, w // b)]


def _reshape(found: Found, x: Array, shape: Array) -> list[Array]:
    wanted = [int(v) for v in shape]
    if not found.get("allowzero", 0):
        wanted = [x.shape[i] if v == 0 else v for i, v in enumerate(wanted)]
    return [x.reshape(wanted)]


def _flatten(found: Found, x: Array) -> list[Array]:
    axis = int(found.get("axis", 1))
    axis = axis + x.ndim if axis < 0 else axis
    return [x.reshape(int(np.prod(x.shape[:axis])), -1)]


def _squeeze(_: Found, x: Array, axes: Array | None = None) -> list[Array]:
    return [np.squeeze(x, None if axes is None else tuple(int(a) for a in axes))]


def _unsqueeze(_: Found, x: Array, axes: Array) -> list[Array]:
    return [np.expand_dims(x, tuple(int(a) for a in axes))]


def _transpose(found: Found, x: Array) -> list[Array]:
    return [np.transpose(x, found.get("perm"))]


def pads_per_axis(rank: int, pads: Array, axes: Array | None) -> dict[int, tuple[int, int]]:
    """Elements that a Pad adds before and after, for each of its axes."""
    chosen = list(range(rank)) if axes is None else [int(a) % rank for a in axes]
    if len(pads) != 2 * len(chosen) or len(set(chosen)) != len(chosen):
        raise ValueError(f"{len(pads)} pads do not fit the axes {chosen}")
    begins, ends = pads[: len(chosen)], pads[len(chosen) :]
    return {a: (int(b), int(e)) for a, b, e in zip(chosen, begins, ends, strict=True)}


def _pad(found: Found, x: Array, pads: Array, value: Any = None, axes: Any = None) -> list[Array]:
    fill = 0.0 if value is None else float(np.reshape(value, ()))
    for axis, (begin, end) in pads_per_axis(x.ndim, pads, axes).items():
        places = pad_index(text(found, "mode", "constant"), x.shape[axis], begin, end)
        outside = (places < 0).reshape([-1 if a == axis else 1 for a in range(x.ndim)])
        x = np.where(outside, fill, np.take(x, np.maximum(places, 0), axis))
    return [x]


OPERATORS: dict[str, Callable[..., list[Any]]] = {
    "Concat": lambda found, *parts: [np.concatenate(parts, found["axis"])],
    "DepthToSpace": depth_to_space,
    "Expand": lambda _, x, shape: [x * np.ones([int(v) for v in shape])],
    "Flatten": _flatten,
    "Pad": _pad,
    "Reshape": _reshape,
    "Slice": _slice,
    "SpaceToDepth": space_to_depth,
    "Split": _split,
    "Squeeze": _squeeze,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
