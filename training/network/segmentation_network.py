"""What every network of this room is: logits of a centred image."""

from __future__ import annotations

from torch import Tensor, nn

from lipdeploy.training.network.config import NetworkConfig

INPUT_CENTER = 0.5


class SegmentationNetwork(nn.Module):
    """Images (N, 3, H, W) in [0, 1] to logits (N, K, H, W); 1-Lipschitz unless unconstrained.

    H and W are multiples of `config.stride`. The first module that is registered is the first
    unit that sees the image: export folds the scale of the pixels into it.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config

    def logits(self, centred: Tensor) -> Tensor:
        """Logits of an image from which `INPUT_CENTER` was subtracted."""
        raise NotImplementedError

    def forward(self, image: Tensor) -> Tensor:
        """Logits of every pixel."""
        return self.logits(image - INPUT_CENTER)
