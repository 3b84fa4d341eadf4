"""Sizes and forms of the networks, and the plain record that a checkpoint carries."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from lipdeploy.training.layers.unit import Constraint

Arch = Literal["deeplabv3", "fcn", "unet"]
Variant = Literal["split", "paper"]

ARCHS: tuple[str, ...] = get_args(Arch)
VARIANTS: tuple[str, ...] = get_args(Variant)
CONSTRAINTS: tuple[str, ...] = get_args(Constraint)


@dataclass(frozen=True)
class Size:
    """Residual blocks per encoder stage and the channels of each stage (paper, App. F)."""

    blocks: int
    channels: tuple[int, ...]


SIZES: dict[str, Size] = {
    "XS": Size(1, (16, 32)),  # not of the paper: small enough for a bound on float32 rounding
    "S": Size(3, (32, 64, 128)),
    "M1": Size(5, (64, 128, 256)),
    "M2": Size(5, (64, 128, 256, 512)),
    "L": Size(7, (64, 128, 256, 512)),
}


@dataclass(frozen=True)
class NetworkConfig:
    """What is needed to build a network again.

    Attributes:
        classes: number of classes K.
        arch: network family.
        size: key of `SIZES`.
        constraint: `orthogonal` (1-Lipschitz, gradients keep their norm), `lipschitz`
            (1-Lipschitz by rescaling) or `none` (the paper's AllNet).
        variant: `paper` for its scaled sums, scaled concatenations and full-resolution head,
            `split` for ours: channels shared out, so that nothing has to be scaled down, and a
            pixel-shuffle head.
    """

    classes: int
    arch: Arch = "deeplabv3"
    size: str = "S"
    constraint: Constraint = "orthogonal"
    variant: Variant = "split"

    def __post_init__(self) -> None:
        known = {
            "arch": (self.arch, ARCHS),
            "size": (self.size, tuple(SIZES)),
            "constraint": (self.constraint, CONSTRAINTS),
            "variant": (self.variant, VARIANTS),
        }
        for name, (value, values) in known.items():
            if value not in values:
                raise ValueError(f"{name} is {value!r}; expected one of {', '.join(values)}")

    @property
    def strides(self) -> tuple[int, ...]:
        """Downsampling of each encoder stage.

        The paper does not print them. A stride-2 stem loses nothing (12 numbers into 32 channels);
        DeepLab's last stage is dilated in place of a stride.
        """
        stages = len(SIZES[self.size].channels)
        return (2,) * (stages - 1) + (1 if self.arch == "deeplabv3" else 2,)

    @property
    def dilations(self) -> tuple[int, ...]:
        """Dilation of each encoder stage: 2 where a stride was left out."""
        return (1,) * (len(self.strides) - 1) + (3 - self.strides[-1],)

    @property
    def stride(self) -> int:
        """Input sides must be multiples of this: the downsampling of the encoder."""
        return math.prod(self.strides)
