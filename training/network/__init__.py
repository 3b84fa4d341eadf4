"""Segmentation networks, each Lipschitz or unconstrained from one definition."""

from lipdeploy.training.network.config import SIZES, NetworkConfig
from lipdeploy.training.network.deeplabv3 import LipDeepLabV3

__all__ = ["SIZES", "LipDeepLabV3", "NetworkConfig"]
