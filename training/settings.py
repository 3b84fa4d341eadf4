"""Settings of a training run: what is recorded in args.yaml and in the checkpoint."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from lipdeploy.core.errors import InputError
from lipdeploy.training.layers import Constraint
from lipdeploy.training.network.config import Arch, NetworkConfig, Variant


@dataclass(frozen=True)
class Settings:
    """What a run was asked to do.

    Attributes:
        data: data set YAML file.
        folder: where checkpoints, results and plots are written.
        imgsz: training height and width in pixels.
        epochs: passes over the training split.
        batch: images a step.
        temperature: of the cross-entropy.
        learning_rate: initial; cosine decay to `final_rate` over all steps.
        vertical_flip: probability of a top-bottom mirror.
        rotate_degrees: largest rotation of the augmentation.
    """

    data: Path
    folder: Path
    imgsz: tuple[int, int] = (128, 128)
    epochs: int = 100
    batch: int = 8
    temperature: float = 40.0
    arch: Arch = "deeplabv3"
    size: str = "S"
    constraint: Constraint = "orthogonal"
    variant: Variant = "split"
    learning_rate: float = 1e-3
    final_rate: float = 1e-6
    weight_decay: float = 1e-4
    vertical_flip: float = 0.0
    rotate_degrees: float = 10.0
    seed: int = 0
    device: str = "cpu"

    def __post_init__(self) -> None:
        stride = self.network(2).stride
        if any(side < 32 or side % stride for side in self.imgsz):
            raise InputError(
                f"imgsz is {self.imgsz[0]} {self.imgsz[1]}; "
                f"expected multiples of {stride}, 32 or more"
            )
        for name in ("temperature", "learning_rate"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise InputError(f"{name} is {value}; expected a finite number above 0")

    def network(self, classes: int) -> NetworkConfig:
        """The network of this run for a number of classes."""
        return NetworkConfig(classes, self.arch, self.size, self.constraint, self.variant)

    def record(self) -> dict[str, object]:
        """Plain values for YAML, checkpoint and metadata; file names without folders."""
        hidden = {"folder", "device"}
        fields = {key: value for key, value in vars(self).items() if key not in hidden}
        return {**fields, "data": self.data.name, "imgsz": list(self.imgsz)}
