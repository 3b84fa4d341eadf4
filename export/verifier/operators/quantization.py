"""QuantizeLinear and DequantizeLinear: their grid of steps, and what they do to constants."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Found = dict[str, Any]

# Below, engines may flush a float32 to zero: everything would be quantized to the zero point.
SMALLEST_SCALE = float(np.finfo(np.float32).tiny)
LARGEST_SCALE = float(np.finfo(np.float32).max)
# Integers that a quantized tensor may hold; narrower ones are packed and read differently.
QUANTIZED = tuple(np.dtype(kind) for kind in (np.int8, np.uint8, np.int16, np.uint16))


@dataclass(frozen=True, eq=False)
class Grid:
    """What the integers of a tensor mean: value = scale * (integer - zero).

    Attributes:
        scale: positive; a scalar, or of a shape that broadcasts to the tensor.
        zero: zero point, an integer, of the same shape.
        kind: type of the integers.
    """

    scale: Array
    zero: Array
    kind: np.dtype[Any]

    def is_same(self, other: Grid) -> bool:
        """Whether the steps are the same to the last bit, along the same axis."""
        return (
            self.kind == other.kind
            and np.array_equal(self.scale, other.scale)
            and np.array_equal(self.zero, other.zero)
        )

    @property
    def limits(self) -> tuple[Array, Array]:
        """Smallest and largest value that the grid holds, exact for integers of 16 bits."""
        info = np.iinfo(self.kind)
        low, high = ((bound - self.zero) * self.scale for bound in (info.min, info.max))
        return np.asarray(low), np.asarray(high)


def grid(found: Found, shape: tuple[int, ...], kind: np.dtype[Any], scale: Any, zero: Any) -> Grid:
    """Grid of one node from its attributes and constants.

    Args:
        found: attributes.
        shape: of the tensor.
        kind: type of its integers.
        scale: per tensor, or one for each index of the attribute `axis`.
        zero: None for 0.

    Raises:
        ValueError: a scale that is not positive and finite in float32, another shape or type, or
            quantization by blocks.
    """
    for name in ("block_size", "output_dtype"):
        if found.get(name, 0):
            raise ValueError(f"{name} is not known")
    steps = np.asarray(scale, np.float64)
    if not ((steps >= SMALLEST_SCALE) & (steps <= LARGEST_SCALE)).all():  # refuses NaN as well
        raise ValueError(f"scale {steps.ravel()[:4]} is not a positive finite float32")
    shifts = np.zeros(steps.shape, kind) if zero is None else np.asarray(zero)
    if shifts.dtype != kind:
        raise ValueError(f"zero point of {shifts.dtype} for a tensor of {kind}")
    if shifts.shape != steps.shape and not shifts.size == steps.size == 1:
        raise ValueError(f"zero point of shape {shifts.shape} for a scale of {steps.shape}")
    placed = _placed(found, shape, steps.shape)
    return Grid(steps.reshape(placed), shifts.astype(np.float64).reshape(placed), np.dtype(kind))


def _placed(found: Found, shape: tuple[int, ...], own: tuple[int, ...]) -> tuple[int, ...]:
    """Shape of a scale that broadcasts to the tensor."""
    if own in ((), (1,)):
        return ()
    axis = int(found.get("axis", 1))
    if len(own) != 1 or not -len(shape) <= axis < len(shape) or shape[axis] != own[0]:
        raise ValueError(f"scale of shape {own} does not fit axis {axis} of a tensor of {shape}")
    placed = [1] * len(shape)
    placed[axis] = own[0]
    return tuple(placed)


def _dequantize(found: Found, x: Any, scale: Any, zero: Any = None) -> list[Array]:
    """Exact in float64 for integers of up to 29 bits and scales in float32."""
    stored = np.asarray(x)
    if stored.dtype.kind == "f":
        raise ValueError(f"the dequantized tensor holds {stored.dtype}, expected integers")
    own = grid(found, stored.shape, stored.dtype, scale, zero)
    return [(stored.astype(np.float64) - own.zero) * own.scale]


def _quantize(found: Found, x: Any, scale: Any, zero: Any = None) -> list[npt.NDArray[Any]]:
    """Of constants only: where a tie is near, engines may choose either neighbour."""
    kind = np.dtype(np.uint8) if zero is None else np.asarray(zero).dtype
    if kind not in QUANTIZED:
        raise ValueError(f"quantization to {kind} is not known")
    own = grid(found, np.shape(x), kind, scale, zero)
    steps = np.asarray(x, np.float64) / own.scale
    if not np.isfinite(steps).all() or (np.abs(steps - np.floor(steps) - 0.5) < 1e-4).any():
        raise ValueError("a value lies between two steps; store the quantized weights")
    limits = np.iinfo(kind)
    return [np.clip(np.rint(steps) + own.zero, limits.min, limits.max).astype(kind)]


OPERATORS: dict[str, Callable[..., list[Any]]] = {
    "DequantizeLinear": _dequantize,
    "QuantizeLinear": _quantize,
}
