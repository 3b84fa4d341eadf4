"""TensorBoard event files; the one file that needs the package `tensorboard`."""

from __future__ import annotations

from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from lipdeploy.training.progress import Step


class EventFile:
    """Loss of every step, learning rate and validation figures of every epoch.

    Steps that a resumed run repeats are cut off the earlier files when they are read.
    """

    def __init__(self, folder: Path, step: int) -> None:
        self._writer = SummaryWriter(str(folder), purge_step=step)

    def add(self, step: Step) -> None:
        """Write one optimizer step, with the validation figures where an epoch ends."""
        self._writer.add_scalar("train/loss", step.loss, step.step)
        self._writer.add_scalar("train/learning_rate", step.learning_rate, step.step)
        if step.evaluated and step.metrics is not None:
            for name, value in step.metrics.record().items():
                self._writer.add_scalar(f"val/{name}", value, step.step)

    def close(self) -> None:
        """Write out what is left."""
        self._writer.close()
