"""The kernel of a convolution, whichever way it is parametrised."""

from __future__ import annotations

from torch import Tensor, nn

from lipdeploy.training.layers.aol_conv import AolConv2d
from lipdeploy.training.layers.orthogonal_conv import OrthogonalConv2d


def kernel_of(conv: nn.Module) -> Tensor:
    """Kernel (O, I, k, k) of a plain or parametrised convolution, differentiable."""
    if isinstance(conv, OrthogonalConv2d | AolConv2d):
        return conv.weight()
    assert isinstance(conv, nn.Conv2d)
    return conv.weight
