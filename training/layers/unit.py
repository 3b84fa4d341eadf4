"""One linear layer with its normalisation: the piece that export folds into a plain convolution."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from lipdeploy.training.layers.batch_centering import BatchCentering2d, ChannelBias
from lipdeploy.training.layers.orthogonal_conv import OrthogonalConv2d

Constraint = Literal["orthogonal", "none"]


class Unit(nn.Module):
    """Convolution and normalisation, orthogonal with centering or unconstrained with batch norm.

    Shape: (N, channels_in, H, W) to (N, channels_out, ceil(H / stride), ceil(W / stride)).
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        kernel: int = 3,
        *,
        stride: int = 1,
        dilation: int = 1,
        constraint: Constraint = "orthogonal",
        normalize: bool = True,
    ) -> None:
        super().__init__()
        if constraint == "orthogonal":
            self.conv: nn.Module = OrthogonalConv2d(
                channels_in, channels_out, kernel, stride, dilation
            )
        else:
            self.conv = nn.Conv2d(
                channels_in,
                channels_out,
                kernel,
                stride,
                padding=dilation * (kernel // 2),
                dilation=dilation,
                bias=False,
            )
        if not normalize:
            self.norm: nn.Module = ChannelBias(channels_out)
        elif constraint == "orthogonal":
            self.norm = BatchCentering2d(channels_out)
        else:
            self.norm = nn.BatchNorm2d(channels_out)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve and normalise."""
        return self.norm(self.conv(x))  # type: ignore[no-any-return]
