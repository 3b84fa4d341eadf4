"""The sorting activation of pairs: gradient-norm preserving and exactly 1-Lipschitz."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def max_min(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Element-wise larger and smaller of two tensors: GroupSort with groups of two.

    Sorting does not increase distances, so the pair (a, b) maps to (max, min) with constant 1.

    Source: Anil et al. 2019, Sec. 4.1.
    """
    if torch.is_grad_enabled() and (a.requires_grad or b.requires_grad):
        larger, smaller = _SortPair.apply(a, b)  # type: ignore[no-untyped-call]
        return larger, smaller
    return torch.maximum(a, b), torch.minimum(a, b)


class _SortPair(torch.autograd.Function):
    """Gradients follow the permutation.

    The gradients of torch.maximum and torch.minimum share ties out between both arguments, which
    costs as much time as the convolutions of a small network.
    """

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(a >= b)
        return torch.maximum(a, b), torch.minimum(a, b)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        larger, smaller = gradients
        (kept,) = ctx.saved_tensors
        return torch.where(kept, larger, smaller), torch.where(kept, smaller, larger)
