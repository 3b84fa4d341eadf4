"""Provable bound on the largest norm of a convolution's symbol over all frequencies.

The symbol is P(t) = sum over taps of K_a exp(i a.t) and G(t) = P(t) P(t)* its Gram matrix: a
Hermitian trigonometric polynomial of degree n = taps - 1 per axis, whose coefficients are the
lags R_d = sum over a of K_{a+d} K_a^T. Wanted is S = sup over t of the largest eigenvalue of G.

**Lags.** S <= sum over d of ||R_d||: exact for orthogonal kernels, where only R_0 = I is not 0.

**Grid.** Let u be the unit vector and t* the frequency at which S is attained, g(t) = u* G(t) u and
c <= g <= S for any c below all eigenvalues. Along one axis g is a real trigonometric polynomial of
degree n between c and S with its maximum at t*, so that it stays above
(S + c) / 2 + (S - c) / 2 * cos(n s) at distance s <= pi / n (M. Riesz 1914; the comparison behind
Bernstein's inequality). As (1 + cos) / 2 is cos^2 of the half,

    g - c >= (S - c) cos^2(n s / 2).

On a grid of M points per axis some point is at distance at most pi / M along each axis. Going first
along one axis and then along the other, where the supremum is at least what was just found,

    S <= c + (max over the grid - c) / (cos^2(n1 pi / 2 M) cos^2(n2 pi / 2 M)).

Without c and without the square, 1 / cos(n pi / M) per axis, this is Ehlich and Zeller 1964: using
that g is not negative halves the loss (1.9 % in S at M = 32 for 3 x 3 taps, 1 % in the norm), and a
c close to S, from the lags, all but removes it for near-orthogonal kernels. The largest eigenvalue
on the grid is not estimated but proved (`matrix_norm.at_most`).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lipdeploy.core.matrix_norm import (
    UNIT_ROUNDOFF,
    Hermitian,
    Matrix,
    at_most,
    largest_eigenvalue_bound,
    matrix_norm_bound,
    proved,
)

_POINTS_PER_DEGREE = 16  # grid points per axis: a loss of 1 % in the norm
_LEAST_POINTS_PER_DEGREE = 4
_LARGEST_SUPPORT = 1024  # taps; larger kernels get the bound of the absolute values
_LARGEST_WORK = 2e11  # points times rows cubed; beyond it the grid becomes coarser
_GRID_BYTES = 2**29  # memory that the lags of a grid search may take
_CHUNK_BYTES = 2**25
_STACKED_ROWS = 64  # up to here a whole chunk is factorised and solved at once
_CLOSE = 2e-5  # relative excess over a lower estimate that needs no finer bound
_STEP = 1e-6  # relative distance of a level from the eigenvalue that raised it


@dataclass(frozen=True)
class SymbolNorm:
    """Squared norm of a symbol: a guaranteed upper bound, and an estimate from below."""

    bound: float
    estimate: float


def squared_symbol_norm(kernel: Matrix) -> SymbolNorm:
    """Bound and estimate the supremum over frequencies of the symbol's squared norm.

    The largest entry must be about 1, so that squares neither vanish nor overflow.

    Shape: (O, I, kh, kw); the work grows with O^3.
    """
    absolute = matrix_norm_bound(np.abs(kernel).sum((2, 3))) ** 2
    absolute *= 1.0 + 4 * (kernel.size + 8) * UNIT_ROUNDOFF
    if kernel.shape[2] * kernel.shape[3] > _LARGEST_SUPPORT:
        return SymbolNorm(absolute, float(np.linalg.norm(kernel.sum((2, 3)), 2)) ** 2)
    return _from_lags(kernel, _Lags.of(kernel), absolute)


def _from_lags(kernel: Matrix, lags: _Lags, absolute: float) -> SymbolNorm:
    rounding = _rounding(kernel)
    centre = largest_eigenvalue_bound(lags.zero)
    estimate = max(float(np.linalg.eigvalsh(m)[-1]) for m in (lags.zero, lags.at_zero()))
    bound = min(absolute, centre + 2.0 * lags.frobenius() + rounding)
    if bound <= (1.0 + _CLOSE) * estimate:
        return SymbolNorm(bound, estimate)
    others = 2.0 * sum(matrix_norm_bound(lag) for lag in lags.others)
    bound = min(bound, centre + others + rounding)
    if bound <= (1.0 + _CLOSE) * estimate:
        return SymbolNorm(bound, estimate)
    least = max(0.0, _least_eigenvalue(lags.zero, centre) - others - rounding)
    found = _grid(lags, kernel.shape[2:], least, estimate, rounding)
    return SymbolNorm(min(bound, found.bound), found.estimate)


def _least_eigenvalue(gram: Matrix, largest: float) -> float:
    """A proved lower bound on the smallest eigenvalue, 0 if it is too close to 0 for a proof."""
    level = float(np.linalg.eigvalsh(gram)[0]) - _STEP * largest
    return level - (proved(largest, len(gram)) - largest) if at_most(-gram, -level) else 0.0


def _rounding(kernel: Matrix) -> float:
    """What all roundings of the lags and of sums over them can add up to, in spectral norm."""
    taps, inner = kernel.shape[2] * kernel.shape[3], kernel.shape[1]
    weight = float(np.sum(kernel * kernel))
    return float(8 * (taps * inner + 64) * UNIT_ROUNDOFF * taps * weight)


@dataclass(frozen=True)
class _Lags:
    """R_0, and R_d with its offset d for one of each pair d and -d (R_-d is the transpose)."""

    zero: Matrix
    others: list[Matrix]
    offsets: Matrix  # (lags, 2)

    @staticmethod
    def of(kernel: Matrix) -> _Lags:
        kh, kw = kernel.shape[2:]
        steps = itertools.product(range(kh), range(-kw + 1, kw))
        offsets = [step for step in steps if step > (0, 0)]
        found = [_lag(kernel, dy, dx) for dy, dx in offsets]
        return _Lags(_lag(kernel, 0, 0), found, np.array(offsets, np.float64).reshape(-1, 2))

    def frobenius(self) -> float:
        """Sum of the Frobenius norms of the others: at least that of their spectral norms."""
        return (1.0 + 1e-9) * sum(float(np.linalg.norm(lag)) for lag in self.others)

    def at_zero(self) -> Matrix:
        """The Gram matrix at frequency 0."""
        return self.zero + sum((lag + lag.T for lag in self.others), np.zeros_like(self.zero))


def _lag(kernel: Matrix, dy: int, dx: int) -> Matrix:
    kh, kw = kernel.shape[2:]
    here = kernel[:, :, dy:, max(0, dx) : kw + min(0, dx)]
    there = kernel[:, :, : kh - dy, max(0, -dx) : kw + min(0, -dx)]
    return np.asarray(np.tensordot(here, there, axes=([1, 2, 3], [1, 2, 3])))


def _grid(
    lags: _Lags, taps: tuple[int, ...], least: float, estimate: float, rounding: float
) -> SymbolNorm:
    """The supremum from the largest eigenvalue on a grid; `least` is the c of the proof."""
    rows = len(lags.zero)
    if 16 * len(lags.others) * rows**2 > _GRID_BYTES:
        return SymbolNorm(np.inf, estimate)
    points, factor = _points([k - 1 for k in taps], rows)
    level = estimate * (1.0 + _STEP)
    for grams in _grams(lags, points):
        stacks = [grams] if rows <= _STACKED_ROWS else list(grams)
        for stack in stacks:
            estimate, level = _raised(stack, estimate, level)
    top = max(proved(level, rows) + rounding, least)
    return SymbolNorm(least + (top - least) * factor, estimate)


def _raised(stack: Hermitian, estimate: float, level: float) -> tuple[float, float]:
    """The estimate and the level, raised until every matrix of the stack is proved below it."""
    if at_most(stack, level):
        return estimate, level
    estimate = max(estimate, float(np.linalg.eigvalsh(stack)[..., -1].max()))
    level = max(level, estimate * (1.0 + _STEP))
    while not at_most(stack, level):
        level *= 1.0 + 10 * _STEP
    return estimate, level


def _points(degrees: list[int], rows: int) -> tuple[Matrix, float]:
    """Frequencies, one of each pair t and -t, in random order; and 1 / cos^2 over both axes."""
    density = _POINTS_PER_DEGREE
    while density > _LEAST_POINTS_PER_DEGREE and (
        0.5 * density**2 * max(1, degrees[0]) * max(1, degrees[1]) * rows**3 > _LARGEST_WORK
    ):
        density //= 2
    counts = [max(1, density * degree) for degree in degrees]
    factor = 1.0 + 1e-12  # the grid points themselves are rounded
    for degree, count in zip(degrees, counts, strict=True):
        factor /= np.cos(np.pi * degree / (2 * count)) ** 2
    half = np.arange(counts[0] // 2 + 1) / counts[0]
    columns = np.arange(counts[1]) / counts[1]
    points = 2 * np.pi * np.stack(np.meshgrid(half, columns, indexing="ij"), -1).reshape(-1, 2)
    # neighbours are alike: in order, every step towards a peak would raise the level once more
    return np.random.default_rng(0).permutation(points), factor


def _grams(lags: _Lags, points: Matrix) -> Iterator[npt.NDArray[np.complex128]]:
    """Gram matrices at the points, in chunks: (points, O, O)."""
    rows = len(lags.zero)
    even = np.stack([lags.zero, *(lag + lag.T for lag in lags.others)]).reshape(-1, rows * rows)
    odd = np.stack([lags.zero * 0, *(lag - lag.T for lag in lags.others)]).reshape(even.shape)
    size = max(1, _CHUNK_BYTES // (16 * rows * rows))
    for start in range(0, len(points), size):
        angles = points[start : start + size] @ lags.offsets.T
        cosines = np.concatenate([np.ones((len(angles), 1)), np.cos(angles)], 1)
        sines = np.concatenate([np.zeros((len(angles), 1)), np.sin(angles)], 1)
        grams = np.empty((len(angles), rows * rows), np.complex128)
        grams.real, grams.imag = cosines @ even, sines @ odd
        yield grams.reshape(-1, rows, rows)
