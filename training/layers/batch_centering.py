"""Normalisation without division: subtract the channel means, add a learned bias."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lipdeploy.training.distributed import batch_mean


class ChannelBias(nn.Module):
    """Add a learned number to every channel: (N, C, H, W) to the same shape."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Add the bias."""
        return x + self.bias.to(x.dtype).view(1, -1, 1, 1)

    def shift(self) -> Tensor:
        """What evaluation adds to every channel, shape (C,)."""
        return self.bias


class BatchCentering2d(nn.Module):
    """Subtract the batch mean of every channel (running mean in evaluation) and add a bias.

    In evaluation the layer is a translation, so its Lipschitz constant is 1 and export folds it
    into the bias of the convolution before it. With several processes the batch is that of all of
    them together: the mean, its gradient and the running mean are shared.

    Shape: (N, C, H, W) to (N, C, H, W).

    Source: App. C of the paper (batch centering in place of batch normalisation).
    """

    running_mean: Tensor

    def __init__(self, channels: int, momentum: float = 0.05) -> None:
        super().__init__()
        self.momentum = momentum
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Center in float32 or better, and return the dtype of `x`."""
        if self.training:
            mean = batch_mean(x.to(torch.promote_types(x.dtype, torch.float32)))
            with torch.no_grad():
                self.running_mean.lerp_(mean.to(self.running_mean.dtype), self.momentum)
        else:
            mean = self.running_mean
        return x + (self.bias - mean).to(x.dtype).view(1, -1, 1, 1)

    def shift(self) -> Tensor:
        """What evaluation adds to every channel, shape (C,)."""
        return self.bias - self.running_mean
