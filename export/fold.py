"""Fold parametrisations and normalisations into plain convolutions."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from lipdeploy.training.layers import (
    Adjoint2d,
    AolConv2d,
    BatchCentering2d,
    ChannelBias,
    OrthogonalConv2d,
    Unit,
    kernel_of,
)
from lipdeploy.training.network import INPUT_CENTER, SegmentationNetwork

BYTE_SCALE = 255.0


class FoldedNetwork(nn.Module):
    """Plain convolutions, sorts and shuffles, fed with the bytes of the frame.

    Shape: `image` uint8 (1, H, W, 3) to logits float32 (1, K, H, W).
    """

    def __init__(self, network: SegmentationNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        """Logits of the frame; the scale 1 / 255 is in the first kernel."""
        dtype = next(self.parameters()).dtype
        return self._logits(image.to(dtype).permute(0, 3, 1, 2))

    def score(self, images: Tensor) -> Tensor:
        """Logits of real-valued images (N, 3, H, W) in [0, 1], which an attack moves."""
        return self._logits(images * BYTE_SCALE)

    def _logits(self, planes: Tensor) -> Tensor:
        return self.network.logits(planes - INPUT_CENTER * BYTE_SCALE)


def folded(network: SegmentationNetwork) -> FoldedNetwork:
    """Fold a trained network, in float64, and round the plain weights to float32 once.

    The centre 127.5 is subtracted in the graph, where it is exact, and not folded into a bias:
    that would be wrong at a zero-padded border.
    """
    plain = copy.deepcopy(network).cpu().double().eval()
    units = [(name, m) for name, m in plain.named_modules() if isinstance(m, Unit)]
    for index, (name, unit) in enumerate(units):
        scale = BYTE_SCALE if index == 0 else 1.0
        parent, _, child = name.rpartition(".")
        plain.get_submodule(parent).register_module(child, _plain_convolution(unit, scale))
    return FoldedNetwork(plain.float()).eval()


@torch.no_grad()
def _plain_convolution(unit: Unit, divisor: float) -> nn.Module:
    kernel, bias = _kernel_and_bias(unit)
    plain = _empty_like(unit.conv, kernel)
    plain.weight.copy_(kernel / divisor)
    assert plain.bias is not None
    plain.bias.copy_(bias)
    return plain


def _empty_like(conv: nn.Module, kernel: Tensor) -> nn.Conv2d | nn.ConvTranspose2d:
    """A plain convolution of the same geometry, in float64."""
    if isinstance(conv, Adjoint2d):
        return nn.ConvTranspose2d(
            kernel.shape[0],
            kernel.shape[1],
            kernel.shape[2:],  # type: ignore[arg-type]
            conv.stride,
            conv.padding,
            conv.output_padding,
            dtype=torch.float64,
        )
    assert isinstance(conv, OrthogonalConv2d | AolConv2d | nn.Conv2d)
    padding = conv.padding if isinstance(conv, nn.Conv2d) else conv.padding()
    return nn.Conv2d(
        kernel.shape[1],
        kernel.shape[0],
        kernel.shape[2:],  # type: ignore[arg-type]
        stride=conv.stride,  # type: ignore[arg-type]
        padding=padding,  # type: ignore[arg-type]
        dilation=conv.dilation,  # type: ignore[arg-type]
        dtype=torch.float64,
    )


def _kernel_and_bias(unit: Unit) -> tuple[Tensor, Tensor]:
    transposed = isinstance(unit.conv, Adjoint2d)
    kernel = kernel_of(unit.conv.conv if isinstance(unit.conv, Adjoint2d) else unit.conv)
    norm = unit.norm
    if isinstance(norm, BatchCentering2d | ChannelBias):
        return kernel, norm.shift()
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_var is not None
    assert norm.running_mean is not None
    gain = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    shape = (1, -1, 1, 1) if transposed else (-1, 1, 1, 1)
    return kernel * gain.view(shape), norm.bias - gain * norm.running_mean
