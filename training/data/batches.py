"""Augmented batches, made in this process or by worker processes: the same to the bit."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.context import BaseContext
from typing import cast

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter

from lipdeploy.core.closing import Closing
from lipdeploy.core.errors import LipdeployError
from lipdeploy.training.data.augmentation import Augmentation
from lipdeploy.training.data.examples import Examples
from lipdeploy.training.data.order import Order

PREFETCH = 4  # micro-batches that each worker has ready

Batch = tuple[Tensor, Tensor]
Key = tuple[int, tuple[int, ...]]  # epoch, examples


@dataclass(frozen=True)
class _MicroBatches(Dataset[Batch | LipdeployError]):
    """What a worker does: a micro-batch by its key, or the error that it met."""

    examples: Examples
    augmentation: Augmentation
    seed: int

    def __getitem__(self, key: Key) -> Batch | LipdeployError:
        epoch, chosen = key
        try:
            made = [self._augmented(epoch, index) for index in chosen]
        except LipdeployError as error:
            return error  # raised there, torch would wrap it into a traceback of many lines
        images = np.stack([image.transpose(2, 0, 1) for image, _ in made])
        labels = np.stack([mask for _, mask in made])
        return torch.from_numpy(np.ascontiguousarray(images)), torch.from_numpy(labels)

    def _augmented(self, epoch: int, index: int) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng((self.seed, epoch, index))
        return self.augmentation(*self.examples.read(index), rng)


class _Keys:
    """The keys of the epoch that is asked for next; lives in the main process."""

    def __init__(self, order: Order) -> None:
        self._order, self.epoch, self.start = order, 0, 0

    def __iter__(self) -> Iterator[Key]:
        epoch = self.epoch
        return ((epoch, chosen) for chosen in self._order.epoch(epoch, self.start))


class BatchStream(Closing):
    """Batches epoch after epoch; worker processes live as long as the stream.

    Order and augmentation depend on (seed, epoch, example) alone, so a resumed run, and a run with
    any number of workers, sees exactly what the uninterrupted run in one process would have seen.

    Example:
        with BatchStream(examples, 8, seed, augmentation, workers=2) as stream:
            for epoch in range(epochs):
                for images, labels in stream.epoch(epoch):
                    x, y = to_device(images, labels, device)

    Args:
        examples: a split.
        batch: images of a step in all processes together.
        seed: of the run.
        augmentation: of every example.
        rank: of this process among `world`; see `Order`.
        world: number of training processes.
        workers: processes that decode and augment for this one; 0 for none.
        micro: images of one forward pass; None for the whole share of this process.

    Raises:
        InputError: the batch cannot be shared equally.
    """

    def __init__(
        self,
        examples: Examples,
        batch: int,
        seed: int,
        augmentation: Augmentation,
        *,
        rank: int = 0,
        world: int = 1,
        workers: int = 0,
        micro: int | None = None,
    ) -> None:
        self.order = Order(len(examples), batch, seed, rank, world, micro)
        self._source = _MicroBatches(examples, augmentation, seed)
        self._keys = _Keys(self.order)
        self._loader = self._workers(workers) if workers else None

    def _workers(self, workers: int) -> DataLoader[Batch | LipdeployError]:
        return DataLoader(
            self._source,
            batch_size=None,  # a key is a whole micro-batch
            sampler=self._keys,
            num_workers=workers,
            collate_fn=_as_it_is,
            pin_memory=torch.cuda.is_available(),
            worker_init_fn=_begin_worker,
            multiprocessing_context=_clean_processes(),
            prefetch_factor=PREFETCH,
            persistent_workers=True,
            generator=torch.Generator(),  # the loader draws a seed, which must not be the network's
        )

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The micro-batches of one epoch from step `start` on.

        An epoch may be left early; beginning the next one ends it.

        Yields:
            Images uint8 (B, 3, H, W) and labels uint8 (B, H, W), 255 ignored, in pinned memory
            where workers make them and there is a CUDA device; see `to_device`.

        Raises:
            InputError: an example that cannot be read.
        """
        self._keys.epoch, self._keys.start = epoch, start
        here = (self._source[key] for key in self._keys)
        for batch in here if self._loader is None else self._loader:
            if isinstance(batch, LipdeployError):
                raise batch
            yield batch

    def close(self) -> None:
        """End the worker processes."""
        iterator = None if self._loader is None else self._loader._iterator
        if isinstance(iterator, _MultiProcessingDataLoaderIter):
            iterator._shutdown_workers()
        self._loader = None


def batches(
    examples: Examples,
    batch: int,
    seed: int,
    epoch: int,
    augmentation: Augmentation,
    start: int = 0,
    *,
    rank: int = 0,
    world: int = 1,
    workers: int = 0,
    micro: int | None = None,
) -> Iterator[Batch]:
    """Augmented batches of one epoch from step `start` on, on the CPU; see `BatchStream`.

    With workers, a `BatchStream` for the whole run spares their start in every epoch.

    Returns:
        Iterator of images float32 (B, 3, H, W) in [0, 1] and labels int64 (B, H, W), 255 ignored.

    Raises:
        InputError: the batch cannot be shared equally, or an example cannot be read.
    """
    stream = BatchStream(
        examples, batch, seed, augmentation, rank=rank, world=world, workers=workers, micro=micro
    )
    return _floats(stream, epoch, start)


def _floats(stream: BatchStream, epoch: int, start: int) -> Iterator[Batch]:
    with stream:
        for images, labels in stream.epoch(epoch, start):
            yield to_device(images, labels, torch.device("cpu"))


def to_device(images: Tensor, labels: Tensor, device: torch.device) -> Batch:
    """Move bytes, a fifth of what floats and int64 would be, and convert them on the device.

    Shape: uint8 (B, 3, H, W) to float32 in [0, 1]; uint8 (B, H, W) to int64.
    """
    # On CUDA a division by a number multiplies by its reciprocal; by a tensor it divides.
    full = torch.full((), 255.0, device=device)
    x = images.to(device, non_blocking=True).float() / full
    return x, labels.to(device, non_blocking=True).long()


def _clean_processes() -> BaseContext:
    """Processes forked from a server without threads, which has imported this module once.

    A fork of this process would copy the locks of its threads in whatever state they are.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


def _begin_worker(_worker: int) -> None:
    cv2.setNumThreads(0)
    # Ctrl-C reaches the whole group; the main process finishes its step and then ends the workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _as_it_is(made: object) -> Batch | LipdeployError:
    return cast("Batch | LipdeployError", made)
