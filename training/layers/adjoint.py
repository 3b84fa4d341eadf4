"""Upsampling by the adjoint of a convolution with a stride."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import conv_transpose2d

from lipdeploy.training.layers.kernel import kernel_of


class Adjoint2d(nn.Module):
    """Transposed convolution: the adjoint of `conv`, so its norm is the same.

    Args:
        conv: a convolution from the channels wanted to the channels given, with kernel 3, stride
            2 and zero padding 1, without bias.

    Shape: (N, C, H, W) to (N, C', 2 H, 2 W).
    """

    stride, padding, output_padding = 2, 1, 1

    def __init__(self, conv: nn.Module) -> None:
        super().__init__()
        self.conv = conv

    def forward(self, x: Tensor) -> Tensor:
        """Upsample."""
        return conv_transpose2d(
            x,
            kernel_of(self.conv),
            stride=self.stride,
            padding=self.padding,
            output_padding=self.output_padding,
        )
