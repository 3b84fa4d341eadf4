"""Sizes of the networks and the plain record that a checkpoint carries."""

from __future__ import annotations

import math
from dataclasses import dataclass

from lipdeploy.training.layers.unit import Constraint


@dataclass(frozen=True)
class Size:
    """Residual blocks per encoder stage and the channels of each stage (paper, App. F).

    Strides and dilations are ours: a stride-2 stem loses nothing (12 numbers into 32 channels) and
    the last stage is dilated in place of a third stride, as in DeepLab.
    """

    blocks: int
    channels: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]


SIZES: dict[str, Size] = {"S": Size(3, (32, 64, 128), (2, 2, 1), (1, 1, 2))}


@dataclass(frozen=True)
class NetworkConfig:
    """What is needed to build a network again.

    Attributes:
        classes: number of classes K.
        arch: network family.
        size: key of `SIZES`.
        constraint: `orthogonal` (1-Lipschitz) or `none` (the paper's AllNet).
        variant: form of the architecture.
    """

    classes: int
    arch: str = "deeplabv3"
    size: str = "S"
    constraint: Constraint = "orthogonal"
    variant: str = "split"

    @property
    def stride(self) -> int:
        """Input sides must be multiples of this: the downsampling of the encoder."""
        return math.prod(SIZES[self.size].strides)


ARCHS: tuple[str, ...] = ("deeplabv3",)
VARIANTS: tuple[str, ...] = ("split",)
CONSTRAINTS: tuple[str, ...] = ("orthogonal", "none")
