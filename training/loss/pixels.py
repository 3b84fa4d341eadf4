"""The labelled pixels of a batch, as every loss sees them, and their mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lipdeploy.core.dataset import IGNORE
from lipdeploy.core.errors import InputError


@dataclass(frozen=True)
class Pixels:
    """Logits of a batch with labels that index them.

    Attributes:
        logits: (N, K, H, W), float32 or float64.
        labels: (N, H, W), int64 in 0..K-1; 0 where the label is not known.
        known: (N, H, W), bool: not labelled 255.
    """

    logits: Tensor
    labels: Tensor
    known: Tensor

    @classmethod
    def of(cls, logits: Tensor, labels: Tensor) -> Pixels:
        """The pixels of network outputs; half precision is widened to float32.

        Raises:
            InputError: fewer than two classes: one class has no margin.
        """
        if logits.shape[1] < 2:
            raise InputError(f"logits have {logits.shape[1]} classes; expected 2 or more")
        known = labels != IGNORE
        exact = logits if logits.dtype in (torch.float32, torch.float64) else logits.float()
        return cls(exact, torch.where(known, labels, 0).long(), known)

    @property
    def target(self) -> Tensor:
        """Logit of the label, (N, H, W)."""
        return self.logits.gather(1, self.labels[:, None]).squeeze(1)

    @property
    def others(self) -> Tensor:
        """Logits with that of the label at minus infinity, (N, K, H, W)."""
        return self.logits.scatter(1, self.labels[:, None], float("-inf"))

    @property
    def margin(self) -> Tensor:
        """Logit of the label minus the highest of the others, (N, H, W).

        Positive where the prediction is right; the radius is then margin / sqrt(2) (Eq. 8, L = 1).
        """
        return self.target - self.others.amax(1)

    def mean(self, values: Tensor, class_weights: Sequence[float] | Tensor | None) -> Tensor:
        """Mean of (N, H, W) values over the known pixels, each with the weight of its class.

        The weights are divided by their sum over the pixels, as in torch's cross-entropy. Without
        any known pixel the mean is 0, and so is its gradient.

        Raises:
            InputError: as many weights as classes are expected.
        """
        weight = self.known.to(values.dtype)
        if class_weights is not None:
            table = torch.as_tensor(class_weights, dtype=values.dtype, device=values.device)
            if table.numel() != self.logits.shape[1]:
                classes = self.logits.shape[1]
                raise InputError(f"{table.numel()} class weights; expected {classes}, one a class")
            weight = weight * table[self.labels]
        total = weight.sum()
        return (values * weight).sum() / torch.where(total > 0, total, torch.ones_like(total))
