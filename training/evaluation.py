"""Metrics of a network in training, on the validation split."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from lipdeploy.core.certificate import count_flips, margin_from_logits, radius_from_margin
from lipdeploy.core.dataset import IGNORE
from lipdeploy.training.data.examples import Examples, tensors

EPS = (0.1, 0.25)


@dataclass(frozen=True)
class Metrics:
    """Validation figures in 0..1; `crpa` maps eps to the mean over images.

    CRPA here assumes L = 1 and float32 logits: a guide for training. The figure to quote is that
    of the exported file.
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
    """Evaluate in evaluation mode and restore the mode."""
    was_training = network.training
    network.eval()
    confusion: np.ndarray | None = None
    robust: list[list[float]] = []
    for i in range(0, len(examples), batch):
        images, labels = tensors(examples.images[i : i + batch], examples.masks[i : i + batch])
        logits = network(images.to(device)).float().cpu().numpy()
        for scores, truth in zip(logits, labels.numpy(), strict=True):
            counts = _confusion(scores.argmax(0), truth, scores.shape[0])
            confusion = counts if confusion is None else confusion + counts
            robust.append(_crpa(scores, truth))
    network.train(was_training)
    if confusion is None:
        raise ValueError("no examples to evaluate")
    crpa = dict(zip(EPS, np.mean(robust, 0).tolist(), strict=True))
    return Metrics(float(np.trace(confusion) / confusion.sum()), miou(confusion), crpa)


def _confusion(predicted: np.ndarray, truth: np.ndarray, classes: int) -> np.ndarray:
    known = truth != IGNORE
    joint = truth[known] * classes + predicted[known]
    return np.bincount(joint, minlength=classes**2).reshape(classes, classes)


def miou(confusion: np.ndarray) -> float:
    """Mean intersection over union of the classes that occur, from (truth, prediction) counts."""
    hit = np.diag(confusion)
    union = confusion.sum(0) + confusion.sum(1) - hit
    return float(np.mean(hit[union > 0] / union[union > 0]))


def _crpa(scores: np.ndarray, truth: np.ndarray) -> list[float]:
    known = truth != IGNORE
    radius = radius_from_margin(margin_from_logits(scores), 1.0)
    radius = np.where(scores.argmax(0) == truth, radius, 0.0)[known]
    flips = count_flips(radius, np.array(EPS))
    return [float(v) for v in 1 - flips / max(1, radius.size)]
