"""Metrics of a network in training, on the validation split."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from lipdeploy.core.dataset import IGNORE
from lipdeploy.core.metrics import confusion_matrix, mean_iou
from lipdeploy.core.objectives import correct_radii, kept_share
from lipdeploy.core.radius import margin_from_logits, radius_from_margin
from lipdeploy.training.data.examples import Examples, tensors

EPS = (0.1, 0.25)


@dataclass(frozen=True)
class Metrics:
    """Validation figures in 0..1; `crpa` maps eps to the mean over images.

    CRPA here assumes L = 1 and float32 logits: a guide for training. The figure to quote is that
    of the exported file, from `lipdeploy certify`.
    """

    pixel_accuracy: float
    miou: float
    crpa: dict[float, float]

    def record(self) -> dict[str, float]:
        """Flat plain values, for CSV and checkpoints."""
        robust = {f"crpa_{eps}": value for eps, value in self.crpa.items()}
        return {"pixel_accuracy": self.pixel_accuracy, "miou": self.miou, **robust}

    @classmethod
    def from_record(cls, record: Mapping[str, float]) -> Metrics:
        """Inverse of `record`."""
        crpa = {eps: record[f"crpa_{eps}"] for eps in EPS}
        return cls(record["pixel_accuracy"], record["miou"], crpa)


@torch.no_grad()
def evaluate(network: nn.Module, examples: Examples, batch: int, device: torch.device) -> Metrics:
    """Evaluate in evaluation mode and restore the mode.

    Raises:
        ValueError: there are no examples.
    """
    if not len(examples):
        raise ValueError("no examples to evaluate")
    was_training = network.training
    network.eval()
    confusion = np.zeros((), np.int64)
    robust: list[list[float]] = []
    for i in range(0, len(examples), batch):
        images, labels = tensors(examples.images[i : i + batch], examples.masks[i : i + batch])
        logits = network(images.to(device)).float().cpu().numpy()
        for scores, truth in zip(logits, labels.numpy(), strict=True):
            predicted = scores.argmax(0)
            radius = radius_from_margin(margin_from_logits(scores), 1.0)
            confusion = confusion + confusion_matrix(truth, predicted, len(scores))
            known = truth != IGNORE
            if known.any():
                right = correct_radii(radius, predicted, truth)[known]
                robust.append(kept_share(right, np.array(EPS)).tolist())
    network.train(was_training)
    crpa = dict(zip(EPS, np.mean(robust, 0).tolist(), strict=True))
    accuracy = float(np.trace(confusion) / max(1, confusion.sum()))
    return Metrics(accuracy, mean_iou(confusion), crpa)
