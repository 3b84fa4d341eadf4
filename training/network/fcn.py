"""Fully convolutional network: encoder and upsampled scores."""

from __future__ import annotations

from torch import Tensor, nn

from lipdeploy.training.layers import Unit
from lipdeploy.training.network.blocks import encoder_stages, sorted_channels
from lipdeploy.training.network.config import SIZES, NetworkConfig
from lipdeploy.training.network.heads import PixelShuffleHead
from lipdeploy.training.network.segmentation_network import SegmentationNetwork


class Fcn(SegmentationNetwork):
    """FCN in our form: one stream, the scores of all sub-pixels from the coarsest features.

    Source: Long, Shelhamer and Darrell 2015 (FCN-32s), with a pixel shuffle as its upsampling.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(config)
        channels = SIZES[config.size].channels
        self.stages = encoder_stages(config, (3, *channels[:-1]))
        self.context = Unit(channels[-1], channels[-1], constraint=config.constraint)
        self.head = PixelShuffleHead(channels[-1], config.stride, config)

    def logits(self, centred: Tensor) -> Tensor:
        """Encoder, one more convolution, scores."""
        x = centred
        for stage in self.stages:
            x = stage(x)
        return self.head(sorted_channels(self.context(x)))  # type: ignore[no-any-return]


class SkipFcn(SegmentationNetwork):
    """FCN with skips: the mean of upsampled coarse scores and the scores of the finer stage.

    The mean of two 1-Lipschitz maps is 1-Lipschitz; the paper scales sums alike (App. C).

    Source: Long, Shelhamer and Darrell 2015 (FCN-8s).
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(config)
        channels, constraint = SIZES[config.size].channels, config.constraint
        self.stages = encoder_stages(config, (3, *channels[:-1]))
        self.scores = nn.ModuleList(
            Unit(width, config.classes, 1, constraint=constraint, normalize=False)
            for width in channels
        )
        self.ups = nn.ModuleList(
            Unit(
                config.classes,
                config.classes,
                upsample=True,
                constraint=constraint,
                normalize=False,
            )
            for _ in channels
        )

    def logits(self, centred: Tensor) -> Tensor:
        """Scores of every stage, joined from the coarsest to the finest."""
        features = [centred]
        for stage in self.stages:
            features.append(stage(features[-1]))
        scores = [score(x) for score, x in zip(self.scores, features[1:], strict=True)]
        joined: Tensor = self.ups[-1](scores[-1])
        for score, up in zip(scores[-2::-1], list(self.ups)[-2::-1], strict=True):
            joined = up(0.5 * (score + joined))
        return joined
