"""DeepLabV3-like network: encoder, atrous pyramid, head."""

from __future__ import annotations

from torch import Tensor

from lipdeploy.training.network.blocks import encoder_stages
from lipdeploy.training.network.config import SIZES, NetworkConfig
from lipdeploy.training.network.heads import head
from lipdeploy.training.network.pyramid import pyramid
from lipdeploy.training.network.segmentation_network import SegmentationNetwork


class DeepLabV3(SegmentationNetwork):
    """The paper's network (Sec. 5.1, App. C, D, F) in its form or in ours.

    Left out of the paper's: image pooling, and the RMS scaling of Yang et al. (App. C), a constant
    factor sqrt(K / 3) on logits and Lipschitz constant alike: a change of temperature.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(config)
        channels = SIZES[config.size].channels
        self.stages = encoder_stages(config, (3, *channels[:-1]))
        self.aspp = pyramid(channels[-1], config)
        self.head = head(channels[-1], config.stride, config)

    def logits(self, centred: Tensor) -> Tensor:
        """Encoder, pyramid, head."""
        x = centred
        for stage in self.stages:
            x = stage(x)
        return self.head(self.aspp(x))  # type: ignore[no-any-return]
