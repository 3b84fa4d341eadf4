"""The nearest matrix with orthonormal rows or columns, by a Newton-Schulz iteration."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

ITERATIONS = 10


def polar_factor(matrix: Tensor) -> Tensor:
    """Polar factor of each matrix of a batch: its singular values moved to 1.

    The start is divided by a guaranteed upper bound on the spectral norm, so every iterate has
    norm at most 1 in exact arithmetic, converged or not: an early stop costs tightness, never
    soundness.

    The gradient is the projection on the tangent space at the result. That is exact for a matrix
    that is orthonormal already, which `OrthogonalConv2d.retract_` keeps true between optimizer
    steps, and spares the graph of the iteration: most of the cost of a small network.

    Shape: (..., R, C) to (..., R, C).

    Source: Björck and Bowie 1971; Absil, Mahony and Sepulchre 2008, Sec. 4.1 (projection).
    """
    factor: Tensor = _PolarFactor.apply(matrix)  # type: ignore[no-untyped-call]
    return factor


class _PolarFactor(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, matrix: Tensor) -> Tensor:
        factor = _newton_schulz(matrix)
        ctx.save_for_backward(factor)
        return factor

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (factor,) = ctx.saved_tensors
        gradient: Tensor = gradients[0]
        if factor.shape[-2] < factor.shape[-1]:
            product = gradient @ factor.mT
            normal: Tensor = (product + product.mT) @ factor
        else:
            product = factor.mT @ gradient
            normal = factor @ (product + product.mT)
        return gradient - 0.5 * normal


def _newton_schulz(matrix: Tensor) -> Tensor:
    wide = matrix.shape[-2] < matrix.shape[-1]
    x = matrix.mT if wide else matrix
    x = x / _norm_bound(x)
    for _ in range(ITERATIONS):
        x = 1.5 * x - 0.5 * x @ (x.mT @ x)
    return x.mT if wide else x


def _norm_bound(tall: Tensor) -> Tensor:
    """Upper bound on the spectral norm: the Schatten-8 norm, tr((A^T A)^4)^(1/8)."""
    gram = tall.mT @ tall
    scale = gram.square().sum((-2, -1), keepdim=True).sqrt().clamp_min(1e-30)
    unit = gram / scale
    fourth = (unit @ unit).square().sum((-2, -1), keepdim=True).sqrt()
    return (scale * fourth.sqrt()).sqrt() * (1 + 1e-5)
