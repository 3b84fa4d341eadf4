"""The training loop: deterministic, resumable at any step, interruptible at any time."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lipdeploy.core.dataset import Dataset
from lipdeploy.core.errors import InputError, LipdeployError
from lipdeploy.training.averaging import Average
from lipdeploy.training.checkpoint import Checkpoint, save_checkpoint
from lipdeploy.training.data import (
    Augmentation,
    BatchStream,
    Examples,
    batches_per_epoch,
    class_weights,
    to_device,
)
from lipdeploy.training.distributed import copy_from_first, ranks, summed
from lipdeploy.training.evaluation import Metrics, evaluate
from lipdeploy.training.loss import build_loss
from lipdeploy.training.network import build_network
from lipdeploy.training.optimizer import build_optimizer
from lipdeploy.training.precision import Precision
from lipdeploy.training.progress import Clock, Report, Step, Usage, device_name
from lipdeploy.training.results import append_result
from lipdeploy.training.schedule import learning_rate_at
from lipdeploy.training.settings import Settings
from lipdeploy.training.update import Update


class Trainer:
    """Owns the network, the optimizer and the files of one run.

    Attributes:
        settings: what was asked for.
        network: in training; the average is apart from it.
        per_epoch: optimizer steps of an epoch.
        steps: optimizer steps of the whole run.
        step: steps done.
        metrics: of the last evaluated epoch, on rank 0.
        notes: lines that a user should read before the run starts.

    Raises:
        InputError: data that cannot be used, or a batch that cannot be shared out.
        ArtefactError: a precision that the device does not have.
    """

    def __init__(self, settings: Settings, dataset: Dataset) -> None:
        self.settings, self.dataset = settings, dataset
        self.rank, self.world = ranks()
        self.device = torch.device(settings.device)
        self.clock = Clock()
        self.train_set, self.val_set = self._load("train"), self._load("val")
        self.images_a_step = min(settings.batch, len(self.train_set))
        _check_shares(self.images_a_step, settings.accumulate, self.world)
        self.per_epoch = batches_per_epoch(len(self.train_set), settings.batch)
        self.steps = self.per_epoch * settings.epochs
        self.notes: list[str] = []
        self.network = self._built()
        self.optimizer = build_optimizer(
            settings.optimizer, self.network, settings.learning_rate, settings.weight_decay
        )
        self.update = self._updater()
        self.average = Average(self.network, settings.ema) if settings.ema else None
        self.step, self.best, self.stale, self.loss_sum = 0, -1.0, 0, 0.0
        self.metrics: Metrics | None = None

    def _load(self, split: str) -> Examples:
        pairs = self.dataset.pairs(split)
        chosen, classes = self.settings, len(self.dataset.class_names)
        return Examples.load(
            pairs, classes, *chosen.imgsz, cache=chosen.cache, workers=chosen.workers
        )

    def _built(self) -> Any:
        torch.manual_seed(self.settings.seed)
        chosen = self.settings
        network = build_network(chosen.network(len(self.dataset.class_names))).to(self.device)
        if self.world == 1 or chosen.constraint != "none":
            return network
        if self.device.type == "cuda":
            return nn.SyncBatchNorm.convert_sync_batchnorm(network)
        self.notes.append(
            "on CPUs torch has no SyncBatchNorm: each process normalises the unconstrained "
            "network with its own share of the batch"
        )
        return network

    def _updater(self) -> Update:
        chosen = self.settings
        classes = len(self.dataset.class_names)
        weights = None
        if chosen.class_weights != "none":
            found = class_weights(self.train_set, classes, chosen.class_weights)
            weights = torch.from_numpy(found).float().to(self.device)
        return Update(
            self.network,
            build_loss(
                chosen.loss,
                temperature=chosen.temperature,
                eps=chosen.eps,
                class_weights=weights,
            ),
            self.optimizer,
            Precision(chosen.precision, self.device),
            accumulate=chosen.accumulate,
            clip=chosen.clip,
            class_weights=weights,
        )

    @property
    def ended_early(self) -> bool:
        """Whether `patience` epochs have passed without a better fitness."""
        return 0 < self.settings.patience <= self.stale

    @property
    def finished(self) -> bool:
        """Whether nothing is left to train."""
        return self.step >= self.steps or self.ended_early

    def run(self, report: Report) -> None:
        """Train to the end, or until `report` returns False; `last.pt` is then up to date.

        With several processes one that returns False stops them all, after the same step.

        Raises:
            LipdeployError: the loss is no longer a number.
        """
        copy_from_first(self.network)
        self.network.train()
        with self._batches() as stream:
            while not self.finished:
                epoch, start = divmod(self.step, self.per_epoch)
                for batch in stream.epoch(epoch, start):
                    loss = self._step(*to_device(*batch, self.device))
                    ends_epoch = self.step % self.per_epoch == 0
                    if ends_epoch:
                        self._finish_epoch(epoch)
                    goes_on = report(self._report(epoch, loss, ends_epoch))
                    if self._any_rank(not goes_on):
                        self._save_last()
                        return

    def _batches(self) -> BatchStream:
        chosen = self.settings
        augmentation = Augmentation(
            flip_vertical=chosen.vertical_flip, rotate_degrees=chosen.rotate_degrees
        )
        return BatchStream(
            self.train_set,
            chosen.batch,
            chosen.seed,
            augmentation,
            rank=self.rank,
            world=self.world,
            workers=chosen.workers,
        )

    def _report(self, epoch: int, loss: float, evaluated: bool) -> Step:
        rate = self._learning_rate(self.step - 1)
        return Step(epoch, self.step, self.steps, loss, rate, self.metrics, evaluated)

    def _any_rank(self, flag: bool) -> bool:
        return summed([float(flag)], self.device)[0] > 0

    def _learning_rate(self, step: int) -> float:
        chosen = self.settings
        warmup = round(chosen.warmup_epochs * self.per_epoch)
        return learning_rate_at(step, self.steps, warmup, chosen.learning_rate, chosen.final_rate)

    def _step(self, images: Tensor, labels: Tensor) -> float:
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate(self.step)
        loss = self.update(images, labels)
        self.step += 1
        if loss != loss:
            raise LipdeployError(f"the loss is not a number at step {self.step}; lower --lr")
        if self.average is not None:
            self.average.update(self.network, self.step)
        self.loss_sum += loss
        return loss

    def _finish_epoch(self, epoch: int) -> None:
        """Evaluate and write on rank 0; the others only learn whether it was any better."""
        if not all(bool(p.isfinite().all()) for p in self.network.parameters()):
            raise LipdeployError(f"the weights are not finite at step {self.step}; lower --lr")
        loss, self.loss_sum = self.loss_sum / self.per_epoch, 0.0
        usage = self._usage()
        if self.rank == 0:
            self._judge(epoch, loss, usage)
        self.stale = round(summed([self.stale if self.rank == 0 else 0], self.device)[0])
        self._save_last()

    def _judge(self, epoch: int, loss: float, usage: Usage) -> None:
        """Evaluate, write a row of results and keep the weights if they are the best so far."""
        network = self._averaged()
        self.metrics = evaluate(
            network,
            self.val_set,
            max(1, self.settings.batch // self.settings.accumulate),
            self.device,
            math.inf if self.settings.constraint == "none" else 1.0,
        )
        rate = self._learning_rate(self.step - 1)
        append_result(self.settings.folder, epoch + 1, loss, rate, self.metrics, usage)
        fitness = self.metrics.fitness(self.settings.fitness, self.settings.eps)
        self.stale += 1
        if fitness > self.best:
            self.best, self.stale = fitness, 0
            self._save("ckpt.pt", network, usage)

    def _averaged(self) -> Any:
        """The network that is evaluated and saved for export."""
        return self.network if self.average is None else self.average.network(self.network)

    def _usage(self) -> Usage:
        """What the run has used; a collective call."""
        processor, wall = self.clock.read()
        total = summed([processor], self.device)[0]
        return Usage(self.step * self.images_a_step, total, wall)

    def _save_last(self) -> None:
        usage = self._usage()
        if self.rank:
            return
        self._save("last.pt", self.network, usage, self._progress(usage))
        if not (self.settings.folder / "ckpt.pt").exists():
            self._save("ckpt.pt", self._averaged(), usage)

    def _progress(self, usage: Usage) -> dict[str, Any]:
        return {
            "step": self.step,
            "examples": len(self.train_set),
            "best": self.best,
            "stale": self.stale,
            "loss_sum": self.loss_sum,
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.update.precision.scaler.state_dict(),
            "average": {} if self.average is None else self.average.state(),
            **usage.record(),
        }

    def _save(
        self, name: str, network: Any, usage: Usage, progress: dict[str, Any] | None = None
    ) -> None:
        metrics = {} if self.metrics is None else self.metrics.record()
        training = {
            **self.settings.record(),
            **usage.record(),
            "step": self.step,
            "processes": self.world,
            "device": device_name(self.device),
            "torch": str(torch.__version__),
        }
        names, imgsz = self.dataset.class_names, self.settings.imgsz
        checkpoint = Checkpoint(network, names, imgsz, training, metrics, progress or {})
        save_checkpoint(checkpoint, self.settings.folder / name)

    def resume(self, last: Checkpoint) -> None:
        """Continue where `last` stopped: same order, same augmentation, same schedule.

        Raises:
            InputError: the run had other settings, or the checkpoint has no progress.
        """
        if not last.progress:
            raise InputError("this checkpoint is for export; resume from last.pt of the run")
        mine, theirs = self.settings.record(), last.training
        changed = [key for key in mine if mine[key] != theirs.get(key)]
        if changed:
            listed = ", ".join(f"{k} {theirs.get(k)} -> {mine[k]}" for k in changed)
            raise InputError(f"cannot resume with other settings: {listed}; use a new --name")
        if last.class_names != self.dataset.class_names:
            raise InputError(
                f"cannot resume: the run had classes {', '.join(last.class_names)}, the data set "
                f"has {', '.join(self.dataset.class_names)}; use a new --name"
            )
        if int(last.progress.get("examples", len(self.train_set))) != len(self.train_set):
            raise InputError(
                f"cannot resume: the run had {last.progress['examples']} training images, the data "
                f"set has {len(self.train_set)}; use a new --name"
            )
        self.network.load_state_dict(last.network.state_dict())
        self._restore(last.progress)
        self.metrics = Metrics.from_record(last.metrics) if last.metrics else None

    def _restore(self, progress: Mapping[str, Any]) -> None:
        self.optimizer.load_state_dict(progress["optimizer"])
        self.update.precision.scaler.load_state_dict(progress["scaler"])
        if self.average is not None:
            self.average.load(progress["average"])
        self.step, self.stale = int(progress["step"]), int(progress["stale"])
        self.best, self.loss_sum = float(progress["best"]), float(progress["loss_sum"])
        if self.rank == 0:  # the others' share is in it already
            self.clock.carry_on(progress["processor_seconds"], progress["wall_seconds"])


def _check_shares(images: int, parts: int, world: int) -> None:
    """Refuse a batch that leaves a process or a part without an image."""
    if images < parts * world:
        raise InputError(
            f"a batch of {images} images is less than one image for each of {world} processes "
            f"in {parts} parts; expected --batch and training images of {parts * world} or more"
        )
