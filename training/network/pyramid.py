"""Atrous spatial pyramids: several dilations side by side."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from lipdeploy.training.layers import Constraint, Unit
from lipdeploy.training.network.blocks import sorted_channels
from lipdeploy.training.network.config import NetworkConfig

DILATIONS = (1, 2, 4, 8)


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


class ConcatAspp(nn.Module):
    """The paper's pyramid: all channels through every dilation, joined and scaled by 1 / sqrt(n).

    The image pooling of DeepLabV3 is left out: it would make the receptive field, and with it the
    bound on rounding, global.

    Source: App. C (scaled concatenation) and Fig. 6.
    """

    def __init__(self, channels: int, dilations: tuple[int, ...], constraint: Constraint) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            Unit(channels, channels, dilation=d, constraint=constraint) for d in dilations
        )
        self.fuse = Unit(channels * len(dilations), channels, 1, constraint=constraint)
        self.scale = 1.0 / math.sqrt(len(dilations))

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape (N, channels, H, W)."""
        seen = [sorted_channels(branch(x)) for branch in self.branches]
        return sorted_channels(self.fuse(torch.cat(seen, 1) * self.scale))


def pyramid(channels: int, config: NetworkConfig) -> nn.Module:
    """The pyramid of a form."""
    form = SplitAspp if config.variant == "split" else ConcatAspp
    return form(channels, DILATIONS, config.constraint)
