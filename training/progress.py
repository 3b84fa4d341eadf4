"""What a run reports while it goes on, and what it has used so far."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from lipdeploy.training.evaluation import Metrics


@dataclass(frozen=True)
class Step:
    """Progress after one optimizer step.

    Attributes:
        epoch: from 0.
        step: optimizer steps done.
        steps: of the whole run.
        loss: of this step's batch.
        learning_rate: of this step.
        metrics: of the last evaluated epoch; None before the first, and on ranks above 0.
        evaluated: whether this step ended an epoch, so that `metrics` are new.
    """

    epoch: int
    step: int
    steps: int
    loss: float
    learning_rate: float
    metrics: Metrics | None
    evaluated: bool


Report = Callable[[Step], bool]


@dataclass(frozen=True)
class Usage:
    """What training and its evaluations have used, over all resumes.

    Attributes:
        samples: images that went through the network in training.
        processor_seconds: user and system time of all processes; a data worker's counts once it
            has ended.
        wall_seconds: time while the run was on.
    """

    samples: int = 0
    processor_seconds: float = 0.0
    wall_seconds: float = 0.0

    def record(self) -> dict[str, float]:
        """Plain values."""
        return {
            "samples": self.samples,
            "processor_seconds": round(self.processor_seconds, 3),
            "wall_seconds": round(self.wall_seconds, 3),
        }


class Clock:
    """Processor and wall time of this process since the clock was made, on top of a start."""

    def __init__(self) -> None:
        self._before = (0.0, 0.0)
        self._start = self._now()

    def carry_on(self, processor_seconds: float, wall_seconds: float) -> None:
        """Count on from what an earlier part of the run has used."""
        self._before = (processor_seconds, wall_seconds)

    def read(self) -> tuple[float, float]:
        """Processor and wall seconds."""
        now = self._now()
        processor, wall = (
            before + end - start
            for before, end, start in zip(self._before, now, self._start, strict=True)
        )
        return processor, wall

    @staticmethod
    def _now() -> tuple[float, float]:
        return sum(os.times()[:4]), time.monotonic()


def device_name(device: torch.device) -> str:
    """Name of the GPU, or of the processor with the threads that torch uses."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{_processor()}, {torch.get_num_threads()} threads"


def _processor() -> str:
    """Linux names the model only here; elsewhere `platform` knows."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
