"""U-Net: encoder, and a decoder that sees the encoder's features of the same size."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from lipdeploy.training.network.blocks import Stage, encoder_stages
from lipdeploy.training.network.config import SIZES, NetworkConfig
from lipdeploy.training.network.heads import DECODER_BLOCKS, FullResolutionHead, PixelShuffleHead
from lipdeploy.training.network.segmentation_network import SegmentationNetwork


class SplitUNet(SegmentationNetwork):
    """U-Net in our form: half of a stage's channels skip, the other half go down.

    The halves meet again in the decoder. A concatenation of 1-Lipschitz maps of disjoint channels
    is 1-Lipschitz, so nothing is scaled, and the way up is a pixel shuffle, which keeps norms.

    Source: Ronneberger, Fischer and Brox 2015, with split skips.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(config)
        channels = SIZES[config.size].channels
        halves = tuple(width // 2 for width in channels[:-1])
        self.stages = encoder_stages(config, (3, *halves))
        below = channels[-1]
        ups = []
        for half, width in zip(halves[::-1], channels[-2::-1], strict=True):
            ups.append(_decoder_stage(below // 4 + half, width, config))
            below = width
        self.ups = nn.ModuleList(ups)
        self.head = PixelShuffleHead(channels[0], 2, config)

    def logits(self, centred: Tensor) -> Tensor:
        """Down, leaving half of the channels behind, and up again."""
        x, skips = centred, []
        for stage in list(self.stages)[:-1]:
            skip, x = stage(x).chunk(2, 1)
            skips.append(skip)
        x = self.stages[-1](x)
        for up in self.ups:
            x = up(torch.cat([nn.functional.pixel_shuffle(x, 2), skips.pop()], 1))
        return self.head(x)  # type: ignore[no-any-return]


class ConcatUNet(SegmentationNetwork):
    """U-Net with whole skips, joined and scaled by 1 / sqrt(2) as the paper does (App. C)."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(config)
        channels = SIZES[config.size].channels
        self.stages = encoder_stages(config, (3, *channels[:-1]))
        self.rises = nn.ModuleList(
            Stage(
                below,
                width,
                0,
                upsample=True,
                constraint=config.constraint,
                variant=config.variant,
            )
            for below, width in zip(channels[:0:-1], channels[-2::-1], strict=True)
        )
        self.ups = nn.ModuleList(
            _decoder_stage(2 * width, width, config) for width in channels[-2::-1]
        )
        self.head = FullResolutionHead((channels[0], max(16, channels[0] // 2)), config)

    def logits(self, centred: Tensor) -> Tensor:
        """Down, and up again beside the features of the same size."""
        features = [centred]
        for stage in self.stages:
            features.append(stage(features[-1]))
        x = features.pop()
        for rise, up in zip(self.rises, self.ups, strict=True):
            x = up(torch.cat([rise(x), features.pop()], 1) * math.sqrt(0.5))
        return self.head(x)  # type: ignore[no-any-return]


def _decoder_stage(channels_in: int, channels: int, config: NetworkConfig) -> Stage:
    return Stage(
        channels_in,
        channels,
        DECODER_BLOCKS,
        constraint=config.constraint,
        variant=config.variant,
    )
