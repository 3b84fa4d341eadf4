"""Segmentation networks, each Lipschitz or unconstrained from one definition."""

from __future__ import annotations

from lipdeploy.training.network.config import (
    ARCHS,
    CONSTRAINTS,
    SIZES,
    VARIANTS,
    NetworkConfig,
)
from lipdeploy.training.network.deeplabv3 import DeepLabV3
from lipdeploy.training.network.fcn import Fcn, SkipFcn
from lipdeploy.training.network.segmentation_network import INPUT_CENTER, SegmentationNetwork
from lipdeploy.training.network.unet import ConcatUNet, SplitUNet

__all__ = [
    "ARCHS",
    "CONSTRAINTS",
    "INPUT_CENTER",
    "SIZES",
    "VARIANTS",
    "NetworkConfig",
    "SegmentationNetwork",
    "build_network",
]

_NETWORKS: dict[tuple[str, str], type[SegmentationNetwork]] = {
    ("deeplabv3", "split"): DeepLabV3,
    ("deeplabv3", "paper"): DeepLabV3,
    ("fcn", "split"): Fcn,
    ("fcn", "paper"): SkipFcn,
    ("unet", "split"): SplitUNet,
    ("unet", "paper"): ConcatUNet,
}


def build_network(config: NetworkConfig) -> SegmentationNetwork:
    """A network with fresh weights."""
    return _NETWORKS[config.arch, config.variant](config)
