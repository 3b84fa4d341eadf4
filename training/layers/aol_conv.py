"""Convolution that is 1-Lipschitz by rescaling, without being orthogonal."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, pad, pixel_shuffle, pixel_unshuffle

from lipdeploy.training.layers.orthogonal_conv import OrthogonalConv2d
from lipdeploy.training.layers.parametrised import ParametrisedConv


class AolConv2d(ParametrisedConv):
    """Zero-padded convolution whose input channels are scaled down until its norm is at most 1.

    For any kernel P and the diagonal D with D_ii = (sum over j of abs(P^T P)_ij)^(-1/2) the norm
    of P D is at most 1. With a stride the rule is applied to the kernel on the s^2 sub-grids of
    the input, each of which gets a scale of its own.

    Args:
        channels_in: input channels.
        channels_out: output channels.
        kernel: odd kernel size.
        stride: step s.
        dilation: spacing of the taps; with stride 1 it does not change the norm.

    Shape: (N, channels_in, H, W) to (N, channels_out, ceil(H / s), ceil(W / s)).

    Source: Prach and Lampert 2022, Theorem 1 and Sec. 4 (almost-orthogonal Lipschitz layers).
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        kernel: int = 3,
        stride: int = 1,
        dilation: int = 1,
    ) -> None:
        super().__init__()
        start = OrthogonalConv2d(channels_in, channels_out, kernel, stride, dilation)
        self.kernel, self.stride, self.dilation = kernel, stride, dilation
        # from an orthogonal kernel, which the rescaling leaves as it is if outputs are not fewer
        self.free = nn.Parameter(start.weight().detach().clone())

    def weight(self) -> Tensor:
        """The kernel, shape (channels_out, channels_in, k, k), in the parameters' precision."""
        with torch.autocast(self.free.device.type, enabled=False):
            excess = -self.kernel % self.stride
            grids = pixel_unshuffle(pad(self.free, (0, excess, 0, excess)), self.stride)
            reach = grids.shape[-1] - 1
            taps = grids.transpose(0, 1)
            gram = conv2d(taps, taps, padding=reach).abs().sum((1, 2, 3))
            # a column of zeros may have any scale
            scaled = grids * torch.rsqrt(gram.clamp_min(1e-30)).view(1, -1, 1, 1)
            whole = pixel_shuffle(scaled, self.stride)
            return whole[..., : self.kernel, : self.kernel]

    def padding(self) -> int:
        """Zeros on every side: half of the dilated kernel."""
        return self.dilation * (self.kernel // 2)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve; the kernel is cast to the dtype of autocast by the convolution itself."""
        return conv2d(
            x,
            self.kernel_once(),
            stride=self.stride,
            padding=self.padding(),
            dilation=self.dilation,
        )
