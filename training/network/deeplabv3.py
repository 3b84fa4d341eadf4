"""DeepLabV3-like network: encoder, atrous pyramid, pixel-shuffle head."""

from __future__ import annotations

from torch import Tensor, nn

from lipdeploy.training.layers import Unit
from lipdeploy.training.network.blocks import SplitAspp, Stage
from lipdeploy.training.network.config import SIZES, NetworkConfig

DILATIONS = (1, 2, 4, 8)
INPUT_CENTER = 0.5


class PixelShuffleHead(nn.Module):
    """1x1 classifier of the sub-pixels of every feature cell, then a pixel shuffle.

    The shuffle moves numbers and has norm 1; with an orthogonal classifier the head does not
    upsample, so no norm is lost to interpolation.
    """

    def __init__(self, channels: int, config: NetworkConfig) -> None:
        super().__init__()
        outputs = config.classes * config.stride**2
        self.classifier = Unit(channels, outputs, 1, constraint=config.constraint, normalize=False)
        self.stride = config.stride

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, h, w) to logits (N, K, h * stride, w * stride)."""
        return nn.functional.pixel_shuffle(self.classifier(x), self.stride)


class LipDeepLabV3(nn.Module):
    """The paper's network (Sec. 5.1, App. C, D, F) in the form that measured best.

    Differences from the paper: residuals on channel halves instead of scaled sums, an atrous
    pyramid on shared-out channels, a pixel-shuffle head instead of upsampling decoder stages, no
    image pooling (it would make the receptive field, and with it the rounding bound, global).

    Shape: images (N, 3, H, W) in [0, 1] to logits (N, K, H, W); H and W multiples of
    `config.stride`.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        size = SIZES[config.size]
        widths = (3, *size.channels)
        self.stages = nn.ModuleList(
            Stage(
                before,
                channels,
                size.blocks,
                stride=stride,
                dilation=dilation,
                constraint=config.constraint,
            )
            for before, channels, stride, dilation in zip(
                widths, size.channels, size.strides, size.dilations, strict=False
            )
        )
        self.aspp = SplitAspp(widths[-1], DILATIONS, config.constraint)
        self.head = PixelShuffleHead(widths[-1], config)

    def encoder(self, x: Tensor) -> Tensor:
        """Centred image to features before the head, shape (N, C, H / stride, W / stride)."""
        for stage in self.stages:
            x = stage(x)
        return self.aspp(x)  # type: ignore[no-any-return]

    def forward(self, image: Tensor) -> Tensor:
        """Logits of every pixel."""
        return self.head(self.encoder(image - INPUT_CENTER))  # type: ignore[no-any-return]
