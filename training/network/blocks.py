"""Building blocks of both forms: every block is 1-Lipschitz when its units are."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lipdeploy.training.layers import Constraint, Unit, max_min
from lipdeploy.training.network.config import SIZES, NetworkConfig, Variant

Halves = tuple[Tensor, Tensor]


def sorted_channels(x: Tensor) -> Tensor:
    """MaxMin between the two halves of the channels: (N, C, H, W) to the same shape."""
    return torch.cat(max_min(*x.chunk(2, 1)), 1)


class SplitResidualBlock(nn.Module):
    """Residual branch beside an untouched half: (a, b) to MaxMin(branch(b), a).

    (branch(b), a) has the norm of (b, a) when the branch is 1-Lipschitz, so nothing has to be
    scaled down as in a sum; sorting the two halves against each other mixes them.
    """

    def __init__(self, channels: int, dilation: int, constraint: Constraint) -> None:
        super().__init__()
        half = channels // 2
        self.first = Unit(half, half, dilation=dilation, constraint=constraint)
        self.second = Unit(half, half, dilation=dilation, constraint=constraint)

    def forward(self, halves: Halves) -> Halves:
        """Map both halves, each of shape (N, C / 2, H, W)."""
        a, b = halves
        return max_min(self.second(sorted_channels(self.first(b))), a)


class SumResidualBlock(nn.Module):
    """The paper's residual: x to (x + branch(x)) / 2, which is 1-Lipschitz (App. C)."""

    def __init__(self, channels: int, dilation: int, constraint: Constraint) -> None:
        super().__init__()
        self.first = Unit(channels, channels, dilation=dilation, constraint=constraint)
        self.second = Unit(channels, channels, dilation=dilation, constraint=constraint)

    def forward(self, halves: Halves) -> Halves:
        """Map both halves, each of shape (N, C / 2, H, W)."""
        x = torch.cat(halves, 1)
        branch = self.second(sorted_channels(self.first(x)))
        a, b = (0.5 * (x + branch)).chunk(2, 1)
        return max_min(a, b)


def residual_block(
    channels: int, dilation: int, constraint: Constraint, variant: Variant
) -> nn.Module:
    """The residual block of a form."""
    block = SplitResidualBlock if variant == "split" else SumResidualBlock
    return block(channels, dilation, constraint)


class Stage(nn.Module):
    """A unit that sets resolution and channels, then residual blocks.

    Args:
        channels_in: channels given.
        channels: channels wanted, even.
        blocks: residual blocks.
        stride: downsampling of the first unit.
        dilation: of the residual blocks.
        upsample: twice the resolution instead.
        constraint: of every unit.
        variant: form of the residual blocks.
    """

    def __init__(
        self,
        channels_in: int,
        channels: int,
        blocks: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        upsample: bool = False,
        constraint: Constraint,
        variant: Variant,
    ) -> None:
        super().__init__()
        self.entry = Unit(
            channels_in, channels, stride=stride, upsample=upsample, constraint=constraint
        )
        self.blocks = nn.ModuleList(
            residual_block(channels, dilation, constraint, variant) for _ in range(blocks)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels_in, H, W) to (N, channels, H', W') at the resolution of the first unit."""
        a, b = self.entry(x).chunk(2, 1)
        halves = max_min(a, b)
        for block in self.blocks:
            halves = block(halves)
        return torch.cat(halves, 1)


def encoder_stages(config: NetworkConfig, channels_in: tuple[int, ...]) -> nn.ModuleList:
    """The stages of the encoder; `channels_in` of each may be less than the stage before makes."""
    size = SIZES[config.size]
    shapes = zip(channels_in, size.channels, config.strides, config.dilations, strict=True)
    return nn.ModuleList(
        Stage(
            before,
            channels,
            size.blocks,
            stride=stride,
            dilation=dilation,
            constraint=config.constraint,
            variant=config.variant,
        )
        for before, channels, stride, dilation in shapes
    )
