"""The training loop: deterministic, resumable at any step, interruptible at any time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from lipdeploy.core.dataset import Dataset
from lipdeploy.core.errors import InputError, LipdeployError
from lipdeploy.training.checkpoint import Checkpoint, save_checkpoint
from lipdeploy.training.data import Augmentation, Examples, batches, batches_per_epoch
from lipdeploy.training.evaluation import Metrics, evaluate
from lipdeploy.training.layers import OrthogonalConv2d
from lipdeploy.training.loss import temperature_cross_entropy
from lipdeploy.training.network import build_network
from lipdeploy.training.results import append_result
from lipdeploy.training.settings import Settings


@dataclass(frozen=True)
class Step:
    """Progress after one optimizer step; `metrics` are those of the last evaluated epoch."""

    epoch: int
    step: int
    steps: int
    loss: float
    metrics: Metrics | None


Report = Callable[[Step], bool]


class Trainer:
    """Owns the network, the optimizer and the files of one run."""

    def __init__(self, settings: Settings, dataset: Dataset) -> None:
        self.settings, self.dataset = settings, dataset
        self.device = torch.device(settings.device)
        self.train_set = self._load("train")
        self.val_set = self._load("val")
        torch.manual_seed(settings.seed)
        self.network = build_network(settings.network(len(dataset.class_names))).to(self.device)
        self.per_epoch = batches_per_epoch(len(self.train_set), settings.batch)
        self.steps = self.per_epoch * settings.epochs
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), settings.learning_rate, weight_decay=settings.weight_decay
        )
        self.schedule = torch.optim.lr_scheduler.CosineAnnealingLR(
            self.optimizer, self.steps, settings.final_rate
        )
        self.orthogonal = [m for m in self.network.modules() if isinstance(m, OrthogonalConv2d)]
        self.step, self.best, self.loss_sum = 0, -1.0, 0.0
        self.metrics: Metrics | None = None

    def _load(self, split: str) -> Examples:
        pairs = self.dataset.pairs(split)
        return Examples.load(pairs, len(self.dataset.class_names), *self.settings.imgsz)

    def run(self, report: Report) -> None:
        """Train to the end, or until `report` returns False; `last.pt` is then up to date.

        Raises:
            LipdeployError: the loss is no longer a number.
        """
        settings = self.settings
        augmentation = Augmentation(
            flip_vertical=settings.vertical_flip, rotate_degrees=settings.rotate_degrees
        )
        self.network.train()
        while self.step < self.steps:
            epoch, start = divmod(self.step, self.per_epoch)
            data = batches(
                self.train_set, settings.batch, settings.seed, epoch, augmentation, start
            )
            for images, labels in data:
                loss = self._update(images.to(self.device), labels.to(self.device))
                goes_on = report(Step(epoch, self.step, self.steps, loss, self.metrics))
                if self.step % self.per_epoch == 0:
                    self._finish_epoch(epoch)
                if not goes_on:
                    self._save_last()
                    return

    def _update(self, images: Tensor, labels: Tensor) -> float:
        loss = temperature_cross_entropy(self.network(images), labels, self.settings.temperature)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self.schedule.step()
        for layer in self.orthogonal:
            layer.retract_()
        self.step += 1
        value = float(loss.detach()) * self.settings.temperature
        self.loss_sum += value
        if value != value:
            raise LipdeployError(f"the loss is not a number at step {self.step}; lower --lr")
        return value

    def _finish_epoch(self, epoch: int) -> None:
        self.metrics = evaluate(self.network, self.val_set, self.settings.batch, self.device)
        rate = self.optimizer.param_groups[0]["lr"]
        loss, self.loss_sum = self.loss_sum / self.per_epoch, 0.0
        append_result(self.settings.folder, epoch + 1, loss, rate, self.metrics)
        fitness = self.metrics.miou + self.metrics.crpa[0.1]
        if fitness > self.best:
            self.best = fitness
            save_checkpoint(self._checkpoint({}), self.settings.folder / "ckpt.pt")
        self._save_last()

    def _save_last(self) -> None:
        progress = {
            "step": self.step,
            "best": self.best,
            "loss_sum": self.loss_sum,
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
        }
        save_checkpoint(self._checkpoint(progress), self.settings.folder / "last.pt")
        if not (self.settings.folder / "ckpt.pt").exists():
            save_checkpoint(self._checkpoint({}), self.settings.folder / "ckpt.pt")

    def _checkpoint(self, progress: dict[str, object]) -> Checkpoint:
        metrics = {} if self.metrics is None else self.metrics.record()
        training = {**self.settings.record(), "step": self.step}
        names, imgsz = self.dataset.class_names, self.settings.imgsz
        return Checkpoint(self.network, names, imgsz, training, metrics, progress)

    def resume(self, last: Checkpoint) -> None:
        """Continue where `last` stopped: same order, same augmentation, same schedule.

        Raises:
            InputError: the run had other settings, or the checkpoint has no progress.
        """
        if not last.progress:
            raise InputError("this checkpoint is for export; resume from last.pt of the run")
        mine, theirs = self.settings.record(), {**last.training}
        theirs.pop("step", None)
        changed = [key for key in mine if mine[key] != theirs.get(key)]
        if changed:
            listed = ", ".join(f"{k} {theirs.get(k)} -> {mine[k]}" for k in changed)
            raise InputError(f"cannot resume with other settings: {listed}; use a new --name")
        self.network.load_state_dict(last.network.state_dict())
        self.optimizer.load_state_dict(last.progress["optimizer"])
        self.schedule.load_state_dict(last.progress["schedule"])
        self.step, self.best = int(last.progress["step"]), float(last.progress["best"])
        self.loss_sum = float(last.progress["loss_sum"])
        self.metrics = Metrics.from_record(last.metrics) if last.metrics else None
