"""Convolution whose kernel is orthogonal by construction."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lipdeploy.training.layers.parametrised import ParametrisedConv
from lipdeploy.training.layers.paraunitary import compose_with_stride, paraunitary_kernel
from lipdeploy.training.layers.polar import polar_factor


class OrthogonalConv2d(ParametrisedConv):
    """Zero-padded convolution with operator norm at most 1 (up to float32 rounding).

    The kernel is a stateless function of the parameters: the same in training and evaluation,
    computed in float32 also under autocast. On the infinite lattice the layer preserves norms
    (out >= in, stride 1) or is a co-isometry; zero padding only removes energy.

    Args:
        channels_in: input channels.
        channels_out: output channels.
        kernel: kernel size k, odd for stride 1; k >= stride.
        stride: step s; the kernel is an orthogonal one of size k - s + 1 followed by an
            s x s orthogonal reduction.
        dilation: spacing of the taps; with stride 1 it does not change the norm.

    Shape: (N, channels_in, H, W) to (N, channels_out, ceil(H / s), ceil(W / s)).

    Source: Boissin et al. 2025, Sec. 4, with plain products in place of their fast convolution.
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
        if kernel < stride or kernel % 2 == 0:
            raise ValueError(
                f"kernel {kernel} with stride {stride}; expected an odd kernel >= stride"
            )
        if stride > 1 and dilation > 1:  # taps would meet that the proof keeps apart
            raise ValueError(f"stride {stride} with dilation {dilation}; expected one of them 1")
        self.channels_in, self.channels_out = channels_in, channels_out
        self.kernel, self.stride, self.dilation = kernel, stride, dilation
        self.mixing = nn.Parameter(torch.empty(channels_out, channels_in * stride**2))
        blocks = kernel - stride
        self.bases: nn.Parameter | None = None
        if blocks:
            width = channels_in if stride > 1 else max(channels_in, channels_out)
            self.bases = nn.Parameter(torch.empty(2 * blocks, width, width // 2))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw orthonormal matrices, so that the first iteration starts converged."""
        nn.init.orthogonal_(self.mixing)
        if self.bases is not None:
            for basis in self.bases:
                nn.init.orthogonal_(basis)

    def orthonormal(self) -> tuple[Tensor, ...]:
        """All parameters: the optimizer moves them off, `retract_` moves them back."""
        return (self.mixing,) if self.bases is None else (self.mixing, self.bases)

    def weight(self) -> Tensor:
        """The kernel, shape (channels_out, channels_in, k, k), in the parameters' precision."""
        with torch.autocast(self.mixing.device.type, enabled=False):
            mixing = polar_factor(self.mixing)
            if self.bases is None:
                return self._pointwise(mixing)
            rows, columns = polar_factor(self.bases).chunk(2)
            core = paraunitary_kernel(rows, columns)
            if self.stride > 1:
                return compose_with_stride(self._pointwise(mixing), core)
            if self.channels_out <= self.channels_in:
                return (mixing @ core.flatten(1)).view(self.channels_out, *core.shape[1:])
            return (core.permute(2, 3, 0, 1) @ mixing).permute(2, 3, 0, 1)

    def _pointwise(self, mixing: Tensor) -> Tensor:
        return mixing.view(self.channels_out, self.channels_in, self.stride, self.stride)

    def padding(self) -> int:
        """Zeros on every side: half of the dilated kernel."""
        return self.dilation * (self.kernel // 2)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve; the kernel is cast to the dtype of autocast by the convolution itself."""
        return nn.functional.conv2d(
            x,
            self.kernel_once(),
            stride=self.stride,
            padding=self.padding(),
            dilation=self.dilation,
        )
