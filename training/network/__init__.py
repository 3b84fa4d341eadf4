"""Segmentation networks, each Lipschitz or unconstrained from one definition."""

from lipdeploy.training.network.config import SIZES, NetworkConfig
from lipdeploy.training.network.deeplabv3 import LipDeepLabV3

__all__ = ["SIZES", "LipDeepLabV3", "NetworkConfig", "build_network"]


def build_network(config: NetworkConfig) -> LipDeepLabV3:
    """Network of a configuration."""
    return LipDeepLabV3(config)
