"""Settings of a training run: what is recorded in args.yaml and in the checkpoint."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from lipdeploy.core.errors import InputError
from lipdeploy.training.data import CACHES, SCHEMES
from lipdeploy.training.data.class_weights import Scheme
from lipdeploy.training.data.examples import Cache
from lipdeploy.training.layers import Constraint
from lipdeploy.training.loss import LOSSES
from lipdeploy.training.network.config import (
    ARCHS,
    CONSTRAINTS,
    SIZES,
    VARIANTS,
    Arch,
    NetworkConfig,
    Variant,
)
from lipdeploy.training.optimizer import OPTIMIZERS
from lipdeploy.training.precision import PRECISIONS

FITNESSES = ("miou", "crpa", "sum")

_CHOICES = {
    "arch": ARCHS,
    "size": tuple(SIZES),
    "constraint": CONSTRAINTS,
    "variant": VARIANTS,
    "optimizer": OPTIMIZERS,
    "precision": tuple(PRECISIONS),
    "fitness": FITNESSES,
    "loss": LOSSES,
    "class_weights": SCHEMES,
    "cache": CACHES,
}
# name: lowest, whether that is allowed, upper end (excluded)
_RANGES: dict[str, tuple[float, bool, float]] = {
    "epochs": (1, True, math.inf),
    "batch": (1, True, math.inf),
    "accumulate": (1, True, math.inf),
    "temperature": (0, False, math.inf),
    "eps": (0, False, math.inf),
    "learning_rate": (0, False, math.inf),
    "final_rate": (0, True, math.inf),
    "weight_decay": (0, True, math.inf),
    "warmup_epochs": (0, True, math.inf),
    "clip": (0, True, math.inf),
    "ema": (0, True, 1),
    "patience": (0, True, math.inf),
    "seed": (0, True, math.inf),
    "workers": (0, True, math.inf),
}


@dataclass(frozen=True)
class Settings:
    """What a run was asked to do.

    Attributes:
        data: data set YAML file.
        folder: where checkpoints, results and plots are written.
        imgsz: training height and width in pixels.
        epochs: passes over the training split.
        batch: images a step, over all processes and parts.
        accumulate: parts in which every process takes its slice of a batch; saves memory.
        loss: name of the loss.
        class_weights: how the classes are weighed by their frequency.
        temperature: of the loss.
        eps: target l2 budget; for losses and the fitness that look at it.
        arch: network family.
        size: of the network.
        constraint: `none` is the unconstrained twin.
        variant: of the architecture.
        optimizer: name of the optimizer.
        learning_rate: peak; cosine decay to `final_rate` over all steps.
        final_rate: learning rate after the last step.
        warmup_epochs: linear rise to the peak.
        weight_decay: of AdamW.
        clip: largest norm of the gradient; 0 does not clip.
        precision: of the forward pass: float32, bf16 or fp16.
        ema: decay of the averaged network; 0 averages nothing.
        patience: epochs without a better fitness after which training ends; 0 never ends it.
        fitness: what decides which weights are the best: `miou`, `crpa` (at the evaluated budget
            nearest to `eps`) or `sum`, mIoU plus CRPA at 0.1.
        vertical_flip: probability of a top-bottom mirror.
        rotate_degrees: largest rotation of the augmentation.
        seed: of the first weights, the order and the augmentation.
        device: torch device; not recorded.
        workers: processes that prepare batches; not recorded, it changes no batch.
        cache: where the examples are kept; not recorded.
        tensorboard: write event files too; not recorded.

    Raises:
        InputError: a value out of its range, or a batch that cannot be cut as asked.
    """

    data: Path
    folder: Path
    imgsz: tuple[int, int] = (128, 128)
    epochs: int = 100
    batch: int = 8
    accumulate: int = 1
    loss: str = "cross-entropy"
    class_weights: Scheme = "none"
    temperature: float = 20.0
    eps: float = 0.25
    arch: Arch = "deeplabv3"
    size: str = "S"
    constraint: Constraint = "orthogonal"
    variant: Variant = "split"
    optimizer: str = "adamw"
    learning_rate: float = 5e-3
    final_rate: float = 1e-6
    warmup_epochs: float = 0.0
    weight_decay: float = 1e-4
    clip: float = 0.0
    precision: str = "float32"
    ema: float = 0.99
    patience: int = 0
    fitness: str = "sum"
    vertical_flip: float = 0.0
    rotate_degrees: float = 10.0
    seed: int = 0
    device: str = "cpu"
    workers: int = 0
    cache: Cache = "auto"
    tensorboard: bool = False

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                got = repr(getattr(self, name))
                raise InputError(f"{name} is {got}; expected one of {', '.join(choices)}")
        for name, bounds in _RANGES.items():
            _check_range(name, getattr(self, name), *bounds)
        self._check_image_size()
        if self.fitness == "crpa" and self.constraint == "none":
            raise InputError(
                "fitness is crpa with constraint none, which has no certificate; "
                "expected miou or sum"
            )
        if self.batch < self.accumulate:
            raise InputError(
                f"accumulate is {self.accumulate} with a batch of {self.batch}; "
                f"expected 1 to {self.batch}: it cuts the batch into parts"
            )

    def _check_image_size(self) -> None:
        stride = self.network(2).stride
        if any(side < 32 or side % stride for side in self.imgsz):
            raise InputError(
                f"imgsz is {self.imgsz[0]} {self.imgsz[1]}; "
                f"expected multiples of {stride}, 32 or more"
            )

    def network(self, classes: int) -> NetworkConfig:
        """The network of this run for a number of classes."""
        return NetworkConfig(classes, self.arch, self.size, self.constraint, self.variant)

    def record(self) -> dict[str, object]:
        """Plain values for YAML, checkpoint and metadata; file names without folders."""
        hidden = {"folder", "device", "workers", "cache", "tensorboard"}
        fields = {key: value for key, value in vars(self).items() if key not in hidden}
        return {**fields, "data": self.data.name, "imgsz": list(self.imgsz)}


def _check_range(name: str, value: float, lowest: float, closed: bool, below: float) -> None:
    """Refuse what is not a finite number in the range."""
    above = value >= lowest if closed else value > lowest
    if math.isfinite(value) and above and value < below:
        return
    span = f"{lowest:g} or more" if closed else f"above {lowest:g}"
    upper = f" and below {below:g}" if math.isfinite(below) else ""
    raise InputError(f"{name} is {value:g}; expected a finite number {span}{upper}")
