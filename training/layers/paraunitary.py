"""Convolution kernels that are orthogonal at every frequency, composed from projections.

A block [P, I - P] with P an orthogonal projection has the symbol P + (I - P) z, which is unitary
for every abs(z) = 1; products of such blocks along the rows and the columns stay unitary.

Source: Li et al. 2019 (BCOP), Boissin et al. 2025 (AOC).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import conv2d, pad


def paraunitary_kernel(rows: Tensor, columns: Tensor) -> Tensor:
    """Orthogonal C-to-C convolution kernel from orthonormal bases of projections.

    Args:
        rows: bases of the blocks along the height, shape (n, C, C // 2), orthonormal columns.
        columns: bases of the blocks along the width, shape (m, C, C // 2).

    Returns:
        Kernel of shape (C, C, n + 1, m + 1).
    """
    vertical, horizontal = _block_product(rows), _block_product(columns)
    return (vertical[:, None] @ horizontal[None]).permute(2, 3, 0, 1)


def _block_product(bases: Tensor) -> Tensor:
    """Coefficients of the product of P_k + (I - P_k) z: (n, C, C // 2) to (n + 1, C, C)."""
    eye = torch.eye(bases.shape[1], dtype=bases.dtype, device=bases.device)
    projections = bases @ bases.mT
    blocks = torch.stack([projections, eye - projections], 1)
    product = blocks[0]
    for kept, moved in blocks[1:]:
        product = pad(product @ kept, (0, 0, 0, 0, 0, 1)) + pad(product @ moved, (0, 0, 0, 0, 1, 0))
    return product


def compose_with_stride(outer: Tensor, inner: Tensor) -> Tensor:
    """Kernel of a convolution `outer` applied after a stride-1 convolution `inner`.

    Shape: (O, M, p, p) after (M, I, q, q) to (O, I, p + q - 1, p + q - 1).
    """
    reach = outer.shape[-1] - 1
    flipped = outer.flip(-2, -1)
    return conv2d(inner.transpose(0, 1), flipped, padding=reach).transpose(0, 1)
