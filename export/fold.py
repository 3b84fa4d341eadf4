"""Fold parametrisations and normalisations into plain convolutions."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from lipdeploy.training.layers import BatchCentering2d, OrthogonalConv2d, Unit
from lipdeploy.training.layers.batch_centering import ChannelBias
from lipdeploy.training.network import LipDeepLabV3
from lipdeploy.training.network.deeplabv3 import INPUT_CENTER

BYTE_SCALE = 255.0


class FoldedNetwork(nn.Module):
    """Plain convolutions, sorts and shuffles, fed with the bytes of the frame.

    Shape: `image` uint8 (1, H, W, 3) to logits float32 (1, K, H, W).
    """

    def __init__(self, network: LipDeepLabV3) -> None:
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
        return self.network.head(self.network.encoder(planes - INPUT_CENTER * BYTE_SCALE))  # type: ignore[no-any-return]


def folded(network: LipDeepLabV3) -> FoldedNetwork:
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
def _plain_convolution(unit: Unit, divisor: float) -> nn.Conv2d:
    kernel, bias = _kernel_and_bias(unit)
    conv = unit.conv
    assert isinstance(conv, OrthogonalConv2d | nn.Conv2d)
    padding = conv.padding() if isinstance(conv, OrthogonalConv2d) else conv.padding
    plain = nn.Conv2d(
        kernel.shape[1],
        kernel.shape[0],
        kernel.shape[2:],  # type: ignore[arg-type]
        stride=conv.stride,  # type: ignore[arg-type]
        padding=padding,  # type: ignore[arg-type]
        dilation=conv.dilation,  # type: ignore[arg-type]
        dtype=torch.float64,
    )
    plain.weight.copy_(kernel / divisor)
    assert plain.bias is not None
    plain.bias.copy_(bias)
    return plain


def _kernel_and_bias(unit: Unit) -> tuple[Tensor, Tensor]:
    kernel = unit.conv.weight() if isinstance(unit.conv, OrthogonalConv2d) else unit.conv.weight
    assert isinstance(kernel, Tensor)
    norm = unit.norm
    if isinstance(norm, BatchCentering2d | ChannelBias):
        return kernel, norm.shift()
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_var is not None
    assert norm.running_mean is not None
    gain = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    return kernel * gain.view(-1, 1, 1, 1), norm.bias - gain * norm.running_mean
