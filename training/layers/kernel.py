"""The kernel of a convolution, whichever way it is parametrised."""

from __future__ import annotations

from torch import Tensor, nn

from lipdeploy.training.layers.parametrised import ParametrisedConv


def kernel_of(conv: nn.Module) -> Tensor:
    """Kernel (O, I, k, k) of a plain or parametrised convolution, differentiable."""
    if isinstance(conv, ParametrisedConv):
        return conv.kernel_once()
    assert isinstance(conv, nn.Conv2d)
    return conv.weight
