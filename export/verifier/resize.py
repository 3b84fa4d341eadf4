"""The matrix of ONNX Resize along one axis, as the operator's specification defines it.

Source: ONNX operator specification, Resize, and its reference implementation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lipdeploy.export.verifier.axes import finite, text

Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Resampling:
    """One axis of a Resize: sizes and the scale that the file gives."""

    size: int
    resized: int
    scale: float

    def __post_init__(self) -> None:
        if not (self.size > 0 and self.resized > 0 and np.isfinite(self.scale) and self.scale > 0):
            raise ValueError(f"resize of {self.size} to {self.resized} by {self.scale}")

    def matrix(self, found: Mapping[str, Any]) -> Matrix:
        """What the operator does along the axis. Shape: (resized, size)."""
        mode = text(found, "mode", "nearest")
        kind = text(found, "coordinate_transformation_mode", "half_pixel")
        places: Matrix = self._places(kind)
        if mode == "nearest":
            chosen = _nearest(places, text(found, "nearest_mode", "round_prefer_floor"))
            return self._one_hot(chosen)
        if mode == "linear":
            return self._blend(places, 2, lambda t: np.stack([1 - t, t], -1), exclude=False)
        if mode == "cubic":
            a = finite(found, "cubic_coeff_a", -0.75)
            exclude = bool(found.get("exclude_outside", 0))
            return self._blend(places, 4, lambda t: _cubic(t, a), exclude=exclude)
        raise ValueError(f"mode {mode!r} is not known")

    def majorant(self, found: Mapping[str, Any]) -> Matrix:
        """A matrix of norm at least that of `matrix` as an engine in float32 may compute it.

        Interpolation weights are continuous in the coordinates. The nearest neighbour is not: where
        float32 coordinates choose another element, both are entered, and a non-negative matrix with
        more entries has no smaller norm.
        """
        if text(found, "mode", "nearest") != "nearest":
            return self.matrix(found)
        kind = text(found, "coordinate_transformation_mode", "half_pixel")
        rule = text(found, "nearest_mode", "round_prefer_floor")
        choices = [self._places(kind), *self._single_precision_places(kind)]
        return np.asarray(np.maximum.reduce([self._one_hot(_nearest(p, rule)) for p in choices]))

    def _places(self, kind: str, number: type[Any] = np.float64) -> Any:
        """Coordinate in the input of every element of the output."""
        i = np.arange(self.resized).astype(number)
        scale, half = number(self.scale), number(0.5)
        if kind == "asymmetric":
            return np.asarray(i / scale)
        if kind == "half_pixel" or (kind == "pytorch_half_pixel" and self.resized > 1):
            return np.asarray((i + half) / scale - half)
        if kind == "pytorch_half_pixel":
            return np.zeros_like(i)
        if kind == "align_corners":
            return np.asarray(i * (number(self.size - 1) / number(max(1, self.resized - 1))))
        if kind == "half_pixel_symmetric":
            adjustment = number(self.resized) / (scale * number(self.size))
            offset = number(self.size) / 2 * (1 - adjustment)
            return np.asarray(offset + (i + half) / scale - half)
        raise ValueError(f"coordinate_transformation_mode {kind!r} is not known")

    def _single_precision_places(self, kind: str) -> list[Matrix]:
        inverse = np.float32(1.0) / np.float32(self.scale)
        halved = kind in ("half_pixel", "pytorch_half_pixel")
        shift = np.float32(0.5 if halved else 0.0)
        i: npt.NDArray[Any] = np.arange(self.resized).astype(np.float32)
        places: list[npt.NDArray[Any]] = [self._places(kind, np.float32)]
        if halved or kind == "asymmetric":
            places.append((i + shift) * inverse - shift)
        return [p.astype(np.float64) for p in places]

    def _one_hot(self, chosen: npt.NDArray[np.int64]) -> Matrix:
        matrix = np.zeros((self.resized, self.size))
        matrix[np.arange(self.resized), np.clip(chosen, 0, self.size - 1)] = 1.0
        return matrix

    def _blend(
        self, places: Matrix, reach: int, weights: Callable[[Matrix], Matrix], *, exclude: bool
    ) -> Matrix:
        base = np.floor(places)
        factors = weights(places - base)
        chosen = base[:, None].astype(np.int64) + np.arange(reach) - (reach // 2 - 1)
        if exclude:
            factors = np.where((chosen >= 0) & (chosen < self.size), factors, 0.0)
            factors = factors / factors.sum(1, keepdims=True)
        matrix = np.zeros((self.resized, self.size))
        rows = np.repeat(np.arange(self.resized), reach)
        np.add.at(matrix, (rows, np.clip(chosen, 0, self.size - 1).ravel()), factors.ravel())
        return matrix


def _nearest(places: Matrix, rule: str) -> npt.NDArray[np.int64]:
    rules: dict[str, Callable[[Matrix], Matrix]] = {
        "round_prefer_floor": lambda p: np.ceil(p - 0.5),
        "round_prefer_ceil": lambda p: np.floor(p + 0.5),
        "floor": np.floor,
        "ceil": np.ceil,
    }
    if rule not in rules:
        raise ValueError(f"nearest_mode {rule!r} is not known")
    return np.asarray(rules[rule](places)).astype(np.int64)


def _cubic(t: Matrix, a: float) -> Matrix:
    """Keys' kernel at distances 1 + t, t, 1 - t, 2 - t."""
    near = [(a + 2) * d**3 - (a + 3) * d**2 + 1 for d in (t, 1 - t)]
    far = [a * (d**3 - 5 * d**2 + 8 * d - 4) for d in (1 + t, 2 - t)]
    return np.stack([far[0], near[0], near[1], far[1]], -1)


def resamplings(
    found: Mapping[str, Any],
    shape: tuple[int, ...],
    scales: npt.NDArray[Any] | None,
    sizes: npt.NDArray[Any] | None,
) -> dict[int, Resampling]:
    """The axes that a Resize changes, from its constant scales or sizes."""
    if found.get("antialias", 0) or text(found, "keep_aspect_ratio_policy", "stretch") != "stretch":
        raise ValueError("antialias and keep_aspect_ratio_policy are not known")
    axes = [int(a) % len(shape) for a in found.get("axes") or range(len(shape))]
    if (scales is None or not scales.size) == (sizes is None or not sizes.size):
        raise ValueError("expected constant scales or constant sizes")
    values = scales if scales is not None and scales.size else sizes
    if values is None or values.shape != (len(axes),) or len(set(axes)) != len(axes):
        raise ValueError(f"expected one scale or size for each of the axes {axes}")
    by_scale = values is scales
    changed = {}
    for axis, value in zip(axes, values.tolist(), strict=True):
        n = shape[axis]
        m = int(np.floor(np.float32(n) * np.float32(value))) if by_scale else int(value)
        if (by_scale and value != 1) or m != n:
            changed[axis] = Resampling(n, m, float(value) if by_scale else m / n)
    return changed
