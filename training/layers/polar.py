"""The nearest matrix with orthonormal rows or columns, by a Newton-Schulz iteration."""

from __future__ import annotations

import math
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
    eye = torch.eye(x.shape[-1], dtype=x.dtype, device=x.device)
    x = x / _norm_bound(x, eye)
    for _ in range(ITERATIONS):
        gram = x.mT @ x
        if _converged(gram, eye, x.shape[-2]):
            break
        x = 1.5 * x - 0.5 * x @ gram
    return x.mT if wide else x


def _converged(gram: Tensor, eye: Tensor, terms: int) -> bool:
    """Whether another iteration would change nothing but rounding.

    Only on the processor, where it saves most of the iterations of a matrix that is nearly
    orthonormal already: a GPU would spend more time on the answer than on the iterations.
    """
    if gram.device.type != "cpu" or torch.compiler.is_compiling():
        return False
    rounding = torch.finfo(gram.dtype).eps * max(4.0, math.sqrt(terms))
    return float((gram - eye).abs().max()) <= rounding


def _norm_bound(tall: Tensor, eye: Tensor) -> Tensor:
    """Upper bound on the spectral norm, tight where the matrix is nearly orthonormal.

    The smaller of the Schatten-8 norm, tr((A^T A)^4)^(1/8), and (1 + ||A^T A - 1||_F)^(1/2).
    """
    gram = tall.mT @ tall
    scale = gram.square().sum((-2, -1), keepdim=True).sqrt().clamp_min(1e-30)
    unit = gram / scale
    fourth = (unit @ unit).square().sum((-2, -1), keepdim=True).sqrt()
    schatten = (scale * fourth.sqrt()).sqrt()
    near = (1 + (gram - eye).square().sum((-2, -1), keepdim=True).sqrt()).sqrt()
    return torch.minimum(schatten, near) * (1 + 1e-5)
