"""Provable upper bounds on eigenvalues of Hermitian matrices and on spectral norms.

An eigenvalue solver gives an estimate, and a power iteration one from below. An estimate becomes a
bound by a certificate: a floating-point Cholesky factorisation of `level * I - G` that runs to the
end proves that the largest eigenvalue of G is at most `level` plus a known multiple of the rounding
error.

Source: Rump 2006, Verification of positive definiteness; Higham 2002, Theorem 10.3.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float64]
Hermitian = npt.NDArray[Any]  # float64 or complex128, only the lower triangle is read

UNIT_ROUNDOFF = 2.0**-53
_MARGIN = 1e-9  # relative distance of a level from the estimate; far above an estimate's error
_ATTEMPTS = 8


def at_most(stack: Hermitian, level: float) -> bool:
    """Whether every matrix of a stack is proved to have no eigenvalue above `proved(level)`.

    Shape: (N, R, R) or (R, R), Hermitian and positive semidefinite.
    """
    shifted = -stack
    diagonal = np.arange(stack.shape[-1])
    shifted[..., diagonal, diagonal] += level
    try:
        np.linalg.cholesky(shifted)
    except np.linalg.LinAlgError:
        return False
    return True


def proved(level: float, rows: int) -> float:
    """The level, plus all that a completed factorisation of `rows` rows can be wrong by.

    The backward error of Cholesky is at most gamma * trace, and the trace of `level * I - G` is at
    most `rows * level` because G has none below zero; 16 covers complex arithmetic in any order.
    """
    return level * (1.0 + 16 * (rows + 8) * (rows + 1) * UNIT_ROUNDOFF)


def largest_eigenvalue_bound(gram: Hermitian) -> float:
    """Upper bound on the largest eigenvalue of a positive semidefinite matrix, to about 1e-9.

    The rounding of the entries themselves is the caller's. Infinite if nothing can be proved.
    """
    level = float(np.linalg.eigvalsh(gram)[-1])
    margin = _MARGIN
    for _ in range(_ATTEMPTS):
        raised = level * (1.0 + margin)
        if raised > 0.0 and at_most(gram, raised):
            return proved(raised, gram.shape[-1])
        margin *= 100.0
    return float("inf")


def matrix_norm_bound(matrix: npt.NDArray[np.floating[Any]]) -> float:
    """Upper bound on the spectral norm, at most 1 + 1e-8 times the norm up to 4096 rows.

    Infinite for a matrix with values that are not finite.

    Shape: (R, C).
    """
    a = np.asarray(matrix, np.float64)
    largest = float(np.abs(a).max(initial=0.0))
    if largest == 0.0:
        return 0.0
    if not np.isfinite(largest):
        return float("inf")
    a = a / largest
    gram = a @ a.T if a.shape[0] <= a.shape[1] else a.T @ a
    rounding = 4 * (max(a.shape) + 8) * UNIT_ROUNDOFF * float(np.sum(a * a))
    squared = largest_eigenvalue_bound(gram) + rounding
    return float(largest * np.sqrt(squared) * (1.0 + 8 * UNIT_ROUNDOFF))
