"""Building blocks on channel halves: every block is 1-Lipschitz when its units are."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lipdeploy.training.layers import Unit, max_min
from lipdeploy.training.layers.unit import Constraint

Halves = tuple[Tensor, Tensor]


def sorted_channels(x: Tensor) -> Tensor:
    """MaxMin between the two halves of the channels: (N, C, H, W) to the same shape."""
    return torch.cat(max_min(*x.chunk(2, 1)), 1)


class ResidualBlock(nn.Module):
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


class Stage(nn.Module):
    """A unit that sets resolution and channels, then residual blocks."""

    def __init__(
        self,
        channels_in: int,
        channels: int,
        blocks: int,
        *,
        stride: int,
        dilation: int,
        constraint: Constraint,
    ) -> None:
        super().__init__()
        self.entry = Unit(channels_in, channels, stride=stride, constraint=constraint)
        self.blocks = nn.ModuleList(
            ResidualBlock(channels, dilation, constraint) for _ in range(blocks)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels_in, H, W) to (N, channels, ceil(H / stride), ceil(W / stride))."""
        a, b = self.entry(x).chunk(2, 1)
        halves = max_min(a, b)
        for block in self.blocks:
            halves = block(halves)
        return torch.cat(halves, 1)


class SplitAspp(nn.Module):
    """Atrous spatial pyramid whose channels are shared out among the dilations.

    Every group of channels sees one dilation; the concatenation of 1-Lipschitz maps of disjoint
    channels is 1-Lipschitz, without the 1 / sqrt(branches) of the paper's concatenation.
    """

    def __init__(self, channels: int, dilations: tuple[int, ...], constraint: Constraint) -> None:
        super().__init__()
        width = channels // len(dilations)
        self.branches = nn.ModuleList(
            Unit(width, width, dilation=d, constraint=constraint) for d in dilations
        )
        self.fuse = Unit(channels, channels, 1, constraint=constraint)

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape (N, channels, H, W)."""
        parts = x.chunk(len(self.branches), 1)
        seen = [branch(part) for branch, part in zip(self.branches, parts, strict=True)]
        return sorted_channels(self.fuse(sorted_channels(torch.cat(seen, 1))))
