"""One linear layer with its normalisation: the piece that export folds into a plain convolution."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from lipdeploy.training.layers.adjoint import Adjoint2d
from lipdeploy.training.layers.aol_conv import AolConv2d
from lipdeploy.training.layers.batch_centering import BatchCentering2d, ChannelBias
from lipdeploy.training.layers.orthogonal_conv import OrthogonalConv2d

Constraint = Literal["orthogonal", "lipschitz", "none"]


class Unit(nn.Module):
    """Convolution and normalisation: centering where there is a constraint, otherwise batch norm.

    Args:
        channels_in: input channels.
        channels_out: output channels.
        kernel: odd kernel size.
        stride: downsampling.
        dilation: spacing of the taps.
        upsample: twice the resolution, by the adjoint of a 3x3 convolution with stride 2.
        constraint: how the norm of the kernel is kept at 1, if at all.
        normalize: whether channels are centred (or normalised) over the batch.

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
        upsample: bool = False,
        constraint: Constraint = "orthogonal",
        normalize: bool = True,
    ) -> None:
        super().__init__()
        if upsample:
            self.conv: nn.Module = Adjoint2d(_conv(channels_out, channels_in, 3, 2, 1, constraint))
        else:
            self.conv = _conv(channels_in, channels_out, kernel, stride, dilation, constraint)
        if not normalize:
            self.norm: nn.Module = ChannelBias(channels_out)
        elif constraint == "none":
            self.norm = nn.BatchNorm2d(channels_out)
        else:
            self.norm = BatchCentering2d(channels_out)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve and normalise."""
        return self.norm(self.conv(x))  # type: ignore[no-any-return]


def _conv(
    channels_in: int,
    channels_out: int,
    kernel: int,
    stride: int,
    dilation: int,
    constraint: Constraint,
) -> nn.Module:
    if constraint == "orthogonal":
        return OrthogonalConv2d(channels_in, channels_out, kernel, stride, dilation)
    if constraint == "lipschitz":
        return AolConv2d(channels_in, channels_out, kernel, stride, dilation)
    padding = dilation * (kernel // 2)
    return nn.Conv2d(
        channels_in, channels_out, kernel, stride, padding, dilation=dilation, bias=False
    )
