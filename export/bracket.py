"""Certificate <= attacked <= clean: how much of the bound real attacks reach, image by image."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lipdeploy.core.dataset import IGNORE, Pair, read_pair
from lipdeploy.core.errors import VerificationError
from lipdeploy.core.objectives import correct_radii, kept_share
from lipdeploy.core.radius import margin_from_logits, radius_from_margin
from lipdeploy.export.fold import folded
from lipdeploy.export.trunk import trunk_model
from lipdeploy.export.verifier.graph import Graph
from lipdeploy.export.verifier.lipschitz import graph_bound
from lipdeploy.training.attack import (
    Objective,
    cheapest_pixels_objective,
    cross_entropy_objective,
    l2_attack,
)
from lipdeploy.training.checkpoint import Checkpoint
from lipdeploy.training.data.examples import tensors

TEMPERATURES = (10.0, 100.0)


@dataclass(frozen=True)
class Bracket:
    """Pixel accuracies of one image under one budget."""

    name: str
    eps: float
    certified: float
    attacked: float
    clean: float


class Bracketing:
    """Certifies and attacks images with one network.

    Attacks run in float32 from a random start, with cross-entropy at several temperatures and a
    hinge on the cheapest pixels; what they find is scored in float64.
    """

    def __init__(self, checkpoint: Checkpoint, steps: int, seed: int = 0) -> None:
        self.classes = len(checkpoint.class_names)
        self.height, self.width = checkpoint.imgsz
        self.network = folded(checkpoint.network)
        trunk = trunk_model(self.network, self.height, self.width)
        self.lipschitz = graph_bound(Graph(trunk)).lipschitz
        self.exact = copy.deepcopy(self.network).double()
        self.steps, self.seed = steps, seed

    def rows(
        self, pairs: Sequence[Pair], eps: Sequence[float], progress: Callable[[int], object]
    ) -> list[Bracket]:
        """One row an image and budget.

        Raises:
            VerificationError: an attack went below the certificate, which would refute it.
        """
        found = []
        for pair in pairs:
            image, truth = read_pair(pair, self.classes, self.height, self.width)
            if (truth == IGNORE).all():
                continue
            found += [self._row(pair.image.name, image, truth, budget) for budget in eps]
            progress(1)
        return found

    def _row(self, name: str, image: np.ndarray, truth: np.ndarray, eps: float) -> Bracket:
        pixels, labels = tensors(image[None], truth[None])
        logits = self._score(pixels)
        known = truth != IGNORE
        radius = radius_from_margin(margin_from_logits(logits), self.lipschitz)
        right = correct_radii(radius, logits.argmax(0), truth)[known]
        certified = float(kept_share(right, eps))
        attacked = min(
            self._accuracy(self._attacked(pixels, labels, logits, eps, objective, k), truth)
            for k, objective in enumerate(_objectives(eps))
        )
        clean = float((logits.argmax(0) == truth)[known].mean())
        if attacked < certified:
            raise VerificationError(f"{name}: attacked {attacked} is below certified {certified}")
        return Bracket(name, eps, certified, min(attacked, clean), clean)

    def _attacked(
        self,
        pixels: Tensor,
        labels: Tensor,
        logits: np.ndarray,
        eps: float,
        objective: Objective,
        attack: int,
    ) -> Tensor:
        """The image that one attack ends at; unlabelled pixels keep their own prediction."""
        target = torch.where(labels == IGNORE, torch.from_numpy(logits.argmax(0))[None], labels)
        generator = torch.Generator().manual_seed(self.seed + attack)
        return l2_attack(self.network.score, pixels, target, eps, objective, self.steps, generator)

    @torch.no_grad()
    def _score(self, pixels: Tensor) -> np.ndarray:
        return np.asarray(self.exact.score(pixels.double())[0].numpy())

    def _accuracy(self, moved: Tensor, truth: np.ndarray) -> float:
        return float((self._score(moved).argmax(0) == truth)[truth != IGNORE].mean())


def _objectives(eps: float) -> list[Objective]:
    return [*map(cross_entropy_objective, TEMPERATURES), cheapest_pixels_objective(eps)]
