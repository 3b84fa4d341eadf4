"""A split held in memory at the training size, and its random but reproducible order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lipdeploy.core.dataset import Pair, read_pair
from lipdeploy.training.data.augmentation import Augmentation


@dataclass(frozen=True)
class Examples:
    """Images (N, H, W, 3) and masks (N, H, W), uint8, resized once as `certify` does."""

    images: npt.NDArray[np.uint8]
    masks: npt.NDArray[np.uint8]

    @classmethod
    def load(cls, pairs: Sequence[Pair], classes: int, height: int, width: int) -> Examples:
        """Decode every pair.

        Raises:
            InputError: an image or mask that cannot be read or does not fit.
        """
        images = np.empty((len(pairs), height, width, 3), np.uint8)
        masks = np.empty((len(pairs), height, width), np.uint8)
        for i, pair in enumerate(pairs):
            images[i], masks[i] = read_pair(pair, classes, height, width)
        return cls(images, masks)

    def __len__(self) -> int:
        return len(self.images)


def batches_per_epoch(count: int, batch: int) -> int:
    """Full batches of an epoch; a data set smaller than a batch gives one."""
    return max(1, count // batch)


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
) -> Iterator[tuple[Tensor, Tensor]]:
    """Augmented batches of one epoch from step `start` on.

    Order and augmentation depend on (seed, epoch, position) alone, so a resumed run sees exactly
    what the uninterrupted run would have seen. Process `rank` of `world` gets the elements rank,
    rank + world, ... of each batch.

    Yields:
        Images float32 (B, 3, H, W) in [0, 1] and labels int64 (B, H, W), 255 ignored.
    """
    order = np.random.default_rng((seed, epoch)).permutation(len(examples))
    for step in range(start, batches_per_epoch(len(examples), batch)):
        chosen = order[step * batch : (step + 1) * batch][rank::world]
        pairs = [
            augmentation(
                examples.images[i], examples.masks[i], np.random.default_rng((seed, epoch, int(i)))
            )
            for i in chosen
        ]
        yield tensors(np.stack([p[0] for p in pairs]), np.stack([p[1] for p in pairs]))


def tensors(images: npt.NDArray[np.uint8], masks: npt.NDArray[np.uint8]) -> tuple[Tensor, Tensor]:
    """Network input and labels: (B, H, W, 3) to float (B, 3, H, W) / 255, masks to int64."""
    x = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    return x.contiguous(), torch.from_numpy(masks).long()
