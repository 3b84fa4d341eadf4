"""From features to the logits of every pixel."""

from __future__ import annotations

import itertools

from torch import Tensor, nn

from lipdeploy.training.layers import Unit
from lipdeploy.training.network.blocks import Stage
from lipdeploy.training.network.config import NetworkConfig

DECODER_BLOCKS = 1


class PixelShuffleHead(nn.Module):
    """1x1 classifier of the sub-pixels of every feature cell, then a pixel shuffle.

    The shuffle moves numbers and has norm 1; with an orthogonal classifier the head does not
    upsample, so no norm is lost to interpolation.
    """

    def __init__(self, channels: int, stride: int, config: NetworkConfig) -> None:
        super().__init__()
        outputs = config.classes * stride**2
        self.classifier = Unit(channels, outputs, 1, constraint=config.constraint, normalize=False)
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, h, w) to logits (N, K, h * stride, w * stride)."""
        return nn.functional.pixel_shuffle(self.classifier(x), self.stride)


class FullResolutionHead(nn.Module):
    """Upsampling stages with residual blocks up to the size of the image, then a 1x1 classifier.

    Source: App. D and F (N_sd decoder stages with N_rd residual blocks each).
    """

    def __init__(self, widths: tuple[int, ...], config: NetworkConfig) -> None:
        super().__init__()
        self.stages = nn.ModuleList(
            Stage(
                before,
                after,
                DECODER_BLOCKS,
                upsample=True,
                constraint=config.constraint,
                variant=config.variant,
            )
            for before, after in itertools.pairwise(widths)
        )
        self.classifier = Unit(
            widths[-1], config.classes, 1, constraint=config.constraint, normalize=False
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, widths[0], h, w) to logits (N, K, h * 2^n, w * 2^n) after n stages."""
        for stage in self.stages:
            x = stage(x)
        return self.classifier(x)  # type: ignore[no-any-return]


def head(channels: int, stride: int, config: NetworkConfig) -> nn.Module:
    """The head of a form, for features at 1 / stride of the resolution (a power of 2)."""
    if config.variant == "split":
        return PixelShuffleHead(channels, stride, config)
    steps = stride.bit_length() - 1
    widths = tuple(max(16, channels >> i) for i in range(steps + 1))
    return FullResolutionHead(widths, config)
