"""One step of the optimizer over a batch, in parts and over processes."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from lipdeploy.core.dataset import IGNORE
from lipdeploy.training.distributed import sum_gradients, summed
from lipdeploy.training.layers import kernels_held, parametrised
from lipdeploy.training.precision import Precision

Loss = Callable[[Tensor, Tensor], Tensor]


class Update:
    """Forward, backward and optimizer step; the loss is the mean over the labelled pixels.

    The batch of a step is what all processes hold together, each in `accumulate` parts. Every part
    is weighed by its share of the labelled pixels, so the gradient is that of the mean over the
    whole batch however it is cut. (Centering sees one part at a time, of all processes.) Kernels
    are computed once and so is the pass through their parametrisation.

    Args:
        network: in training mode.
        loss: logits (N, K, H, W) and labels (N, H, W) to the mean over labelled pixels.
        optimizer: of the network's parameters.
        precision: of the forward pass.
        accumulate: parts of a batch, one in memory at a time.
        clip: largest norm of the whole gradient; 0 does not clip.
        class_weights: of the loss, shape (K,), if it is a weighted mean.
    """

    def __init__(
        self,
        network: nn.Module,
        loss: Loss,
        optimizer: torch.optim.Optimizer,
        precision: Precision,
        *,
        accumulate: int = 1,
        clip: float = 0.0,
        class_weights: Tensor | None = None,
    ) -> None:
        self.network, self.loss, self.optimizer = network, loss, optimizer
        self.precision, self.accumulate, self.clip = precision, accumulate, clip
        self.class_weights = class_weights
        self._layers = parametrised(network)

    def __call__(self, images: Tensor, labels: Tensor) -> float:
        """Take one step on this process's slice of a batch; the loss of the whole batch."""
        self.optimizer.zero_grad(set_to_none=True)
        parts = self._parts(images, labels)
        weights = [self._weight(truth) for _, truth in parts]
        (total,) = summed([sum(weights)], self.precision.device)
        shares = [weight / max(total, 1e-30) for weight in weights]
        value = torch.zeros((), dtype=torch.float64, device=self.precision.device)
        with kernels_held(self.network):
            for part, share in zip(parts, shares, strict=True):
                value += self._backward(*part, share)
        sum_gradients(self.network.parameters())
        self._apply()
        return summed([float(value)], self.precision.device)[0]

    def _parts(self, images: Tensor, labels: Tensor) -> list[tuple[Tensor, Tensor]]:
        cut = self.accumulate
        return list(zip(images.tensor_split(cut), labels.tensor_split(cut), strict=True))

    def _weight(self, labels: Tensor) -> float:
        """What the part counts in a mean over labelled pixels."""
        known = labels[labels != IGNORE]
        if self.class_weights is None:
            return float(known.numel())
        return float(self.class_weights.to(known.device)[known].double().sum())

    def _backward(self, images: Tensor, labels: Tensor, share: float) -> Tensor:
        device = self.precision.device
        dtype = next(self.network.parameters()).dtype
        with self.precision.autocast():
            logits = self.network(images.to(device, dtype))
        # A part without labels goes through the backward pass too: other processes wait there.
        loss = self.loss(logits, labels.to(device)) * share if share else logits.sum() * 0.0
        self.precision.scaler.scale(loss).backward()
        return loss.detach()

    def _apply(self) -> None:
        scaler = self.precision.scaler
        if self.clip:
            scaler.unscale_(self.optimizer)
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.clip)
        scaler.step(self.optimizer)
        scaler.update()
        for layer in self._layers:
            layer.retract_()
