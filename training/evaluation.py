"""Metrics of a network in training, on the validation split."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from lipdeploy.core.certificate import cost_curve
from lipdeploy.core.dataset import IGNORE
from lipdeploy.core.errors import InputError
from lipdeploy.core.metrics import confusion_matrix, mean_iou
from lipdeploy.core.objectives import correct_radii, kept_share, stability50
from lipdeploy.core.radius import margin_from_logits, radius_from_margin
from lipdeploy.training.data.examples import Examples, tensors
from lipdeploy.training.layers import kernels_held

EPS = (0.1, 0.17, 0.25)

Scores = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Metrics:
    """Validation figures in 0..1; `crpa` maps eps to the mean over images.

    `stability50` is the mean over images of the l2 budget that can change half of the predictions.

    Radii here assume exact logits and the Lipschitz constant that the network has by construction:
    a guide for training. The figure to quote is that of the exported file, from `lipdeploy
    certify`. Of an unconstrained network nothing is known, so CRPA and stability are 0.
    """

    pixel_accuracy: float
    miou: float
    crpa: dict[float, float]
    stability50: float

    def record(self) -> dict[str, float]:
        """Flat plain values, for CSV and checkpoints."""
        robust = {f"crpa_{eps}": value for eps, value in self.crpa.items()}
        shares = {"pixel_accuracy": self.pixel_accuracy, "miou": self.miou, **robust}
        return {**shares, "stability50": self.stability50}

    @classmethod
    def from_record(cls, record: Mapping[str, float]) -> Metrics:
        """Inverse of `record`."""
        crpa = {eps: record[f"crpa_{eps}"] for eps in EPS}
        return cls(record["pixel_accuracy"], record["miou"], crpa, record["stability50"])

    def fitness(self, name: str, eps: float) -> float:
        """What is to be as large as possible.

        Args:
            name: `miou`, `crpa` (at the evaluated budget nearest to `eps`) or `sum`, mIoU plus
                CRPA at 0.1.
            eps: target budget.

        Raises:
            InputError: another name.
        """
        nearest = min(EPS, key=lambda known: abs(known - eps))
        choices = {
            "miou": self.miou,
            "crpa": self.crpa[nearest],
            "sum": self.miou + self.crpa[0.1],
        }
        if name not in choices:
            raise InputError(f"fitness is {name!r}; expected {', '.join(choices)}")
        return choices[name]


@torch.no_grad()
def evaluate(
    network: nn.Module,
    examples: Examples,
    batch: int,
    device: torch.device,
    lipschitz: float = 1.0,
) -> Metrics:
    """Evaluate in evaluation mode and restore the mode; never in mixed precision.

    Args:
        network: images (N, 3, H, W) to logits (N, K, H, W).
        examples: the validation split.
        batch: images at a time.
        device: of the network.
        lipschitz: constant of the network; infinite if nothing is known.

    Raises:
        ValueError: there are no examples.
        InputError: no pixel is labelled.
    """
    if not len(examples):
        raise ValueError("no examples to evaluate")
    was_training = network.training
    network.eval()
    confusion = np.zeros((), np.int64)
    robust: list[list[float]] = []
    with kernels_held(network):
        for scores, truth in _predictions(network, examples, batch, device):
            confusion = confusion + confusion_matrix(truth, scores.argmax(0), len(scores))
            if (truth != IGNORE).any():
                robust.append(_robustness(scores, truth, lipschitz))
    network.train(was_training)
    if not robust:
        raise InputError("no pixel of the validation split is labelled; check its masks and ignore")
    *crpa, stability = np.mean(robust, 0).tolist()
    accuracy = float(np.trace(confusion) / max(1, confusion.sum()))
    return Metrics(accuracy, mean_iou(confusion), dict(zip(EPS, crpa, strict=True)), stability)


def _predictions(
    network: nn.Module, examples: Examples, batch: int, device: torch.device
) -> Iterator[tuple[Scores, Labels]]:
    """Logits (K, H, W) and labels (H, W) of every image."""
    dtype = next(network.parameters()).dtype
    for i in range(0, len(examples), batch):
        images, labels = tensors(*examples.span(i, i + batch))
        logits = network(images.to(device, dtype)).float().cpu().numpy()
        yield from zip(logits, labels.numpy(), strict=True)


def _robustness(scores: Scores, truth: Labels, lipschitz: float) -> list[float]:
    """CRPA at every eps, then stability@50, of the labelled pixels of one image."""
    known = truth != IGNORE
    radius = radius_from_margin(margin_from_logits(scores), lipschitz)
    right = cost_curve(correct_radii(radius, scores.argmax(0), truth)[known])
    return [*kept_share(right, np.array(EPS)).tolist(), stability50(radius[known])]
