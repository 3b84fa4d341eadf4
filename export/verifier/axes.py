"""What windowed and resampling operators do along one axis, from their attributes.

Bounds and replay read the same geometry; that it is ONNX's is tested against ONNX Runtime.
All functions raise ValueError on attributes that are malformed or not known.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Index = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Windows:
    """Positions of a window along one axis; window j starts at j * stride - begin."""

    size: int  # of the unpadded input
    kernel: int
    stride: int
    dilation: int
    begin: int
    end: int
    count: int

    @property
    def span(self) -> int:
        """Elements from a window's first to its last tap."""
        return (self.kernel - 1) * self.dilation + 1

    def taps(self) -> Index:
        """Input position of every tap of every window; -1 outside. Shape: (count, kernel)."""
        starts = np.arange(self.count) * self.stride - self.begin
        found = starts[:, None] + np.arange(self.kernel) * self.dilation
        return np.where((found >= 0) & (found < self.size), found, -1)

    def overlap(self) -> int:
        """Most windows that one input element is in."""
        taps = self.taps()
        return int(np.bincount(taps[taps >= 0], minlength=1).max())

    def padded_counts(self) -> Index:
        """Taps of every window that lie in the padded input: the divisor with padding counted."""
        starts = np.arange(self.count) * self.stride
        found = starts[:, None] + np.arange(self.kernel) * self.dilation
        return np.asarray((found < self.begin + self.size + self.end).sum(1))

    def mean_matrix(self, *, count_padding: bool) -> npt.NDArray[np.float64]:
        """Average pooling along the axis. Shape: (count, size)."""
        taps = self.taps()
        inside = (taps >= 0).sum(1)
        divisor = np.maximum(1, self.padded_counts() if count_padding else inside)
        matrix = np.zeros((self.count, self.size))
        window, tap = np.nonzero(taps >= 0)
        np.add.at(matrix, (window, taps[window, tap]), 1.0 / divisor[window])
        return matrix


def windows(
    found: Mapping[str, Any], sizes: tuple[int, ...], kernel: tuple[int, ...]
) -> list[Windows]:
    """Windows of Conv, MaxPool and AveragePool along every spatial axis."""
    n = len(sizes)
    strides, dilations = positive(found, "strides", n), positive(found, "dilations", n)
    pads = integers(found, "pads", 2 * n, 0)
    mode = text(found, "auto_pad", "NOTSET")
    rounding = bool(found.get("ceil_mode", 0))
    return [
        _windows(mode, rounding, sizes[i], kernel[i], strides[i], dilations[i], pads[i::n])
        for i in range(n)
    ]


def pool_windows(found: Mapping[str, Any], sizes: tuple[int, ...]) -> list[Windows]:
    """Windows of MaxPool and AveragePool along every spatial axis.

    Raises:
        ValueError: also for padding by name with dilation, which engines read differently.
    """
    kernel = tuple(int(v) for v in found["kernel_shape"])
    if len(kernel) != len(sizes):
        raise ValueError(f"kernel_shape {kernel} does not fit {len(sizes)} axes")
    dilated = max(positive(found, "dilations", len(sizes))) > 1
    if dilated and text(found, "auto_pad", "NOTSET").startswith("SAME"):
        raise ValueError("auto_pad with dilation is not known")
    return windows(found, sizes, kernel)


def _windows(
    mode: str, ceil: bool, size: int, kernel: int, stride: int, dilation: int, pads: list[int]
) -> Windows:
    span = (kernel - 1) * dilation + 1
    if mode in ("SAME_UPPER", "SAME_LOWER"):
        total = max(0, (-(-size // stride) - 1) * stride + span - size)
        smaller = total // 2
        pads = [smaller, total - smaller]
        pads = pads if mode == "SAME_UPPER" else pads[::-1]
    elif mode == "VALID":
        pads = [0, 0]
    elif mode != "NOTSET":
        raise ValueError(f"auto_pad {mode!r} is not known")
    begin, end = pads
    room = size + begin + end - span
    if room < 0 or size < 1 or kernel < 1:
        raise ValueError(f"a window of {span} does not fit {size} elements padded by {pads}")
    count = (-(-room // stride) if ceil else room // stride) + 1
    if ceil and (count - 1) * stride >= size + begin:
        count -= 1  # a window that starts in the end padding is dropped
    return Windows(size, kernel, stride, dilation, begin, end, count)


def transposed_pads(
    found: Mapping[str, Any], sizes: tuple[int, ...], kernel: tuple[int, ...]
) -> list[tuple[int, int, int, int, int]]:
    """Stride, dilation, crop at both ends and size before cropping, per axis of ConvTranspose."""
    n = len(sizes)
    strides, dilations = positive(found, "strides", n), positive(found, "dilations", n)
    extra = integers(found, "output_padding", n, 0)
    pads, mode = integers(found, "pads", 2 * n, 0), text(found, "auto_pad", "NOTSET")
    wanted = [int(v) for v in found.get("output_shape", ())]
    axes = []
    for i, size in enumerate(sizes):
        full = strides[i] * (size - 1) + (kernel[i] - 1) * dilations[i] + 1 + extra[i]
        begin, end = pads[i], pads[i + n]
        if wanted or mode in ("SAME_UPPER", "SAME_LOWER"):
            total = full - (wanted[i] if wanted else size * strides[i])
            if total < 0:
                raise ValueError(f"an output of more than {full} elements is not known")
            begin = total // 2 if mode == "SAME_UPPER" else total - total // 2
            end = total - begin
        elif mode == "VALID":
            begin = end = 0
        axes.append((strides[i], dilations[i], begin, end, full))
    return axes


def pad_index(mode: str, size: int, begin: int, end: int) -> Index:
    """Source position of every element after padding one axis; -1 for the constant.

    Negative pads remove elements; together with another mode than constant, engines differ.
    """
    if mode != "constant" and min(begin, end) < 0:
        raise ValueError(f"mode {mode!r} with a negative pad is not known")
    places = np.arange(-begin, size + end)
    inside = (places >= 0) & (places < size)
    if mode == "constant":
        return np.where(inside, places, -1)
    if mode == "edge":
        return np.clip(places, 0, size - 1)
    if mode == "wrap":
        return np.asarray(places % size)
    if mode == "reflect" and (size > 1 or inside.all()):
        period = 2 * max(1, size - 1)
        folded = places % period
        return np.minimum(folded, period - folded)
    raise ValueError(f"mode {mode!r} is not known for an axis of {size}")


def integers(found: Mapping[str, Any], name: str, count: int, default: int) -> list[int]:
    """A list attribute of a fixed length."""
    values = [int(v) for v in found.get(name) or [default] * count]
    if len(values) != count:
        raise ValueError(f"{name} has {len(values)} values, expected {count}")
    return values


def positive(found: Mapping[str, Any], name: str, count: int) -> list[int]:
    """A list attribute of positive numbers, 1 by default."""
    values = integers(found, name, count, 1)
    if min(values, default=1) < 1:
        raise ValueError(f"{name} is {values}, expected positive numbers")
    return values


def text(found: Mapping[str, Any], name: str, default: str) -> str:
    """A text attribute."""
    value = found.get(name, default.encode())
    return str(value.decode() if isinstance(value, bytes) else value)


def finite(found: Mapping[str, Any], name: str, default: float) -> float:
    """A number attribute."""
    value = float(found.get(name, default))
    if not math.isfinite(value):
        raise ValueError(f"{name} is {value}, expected a finite number")
    return value
