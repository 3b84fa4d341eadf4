"""A split at the training size: in memory, in a cache on disk, or decoded each time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from lipdeploy.core.dataset import Pair
from lipdeploy.training.data.decoder import DecodedPart, Decoder, Pictures, Pixels
from lipdeploy.training.data.disk_cache import cached, default_folder

Cache = Literal["auto", "memory", "disk", "none"]
CACHES: tuple[Cache, ...] = ("auto", "memory", "disk", "none")

MEMORY_LIMIT_BYTES = 2 * 2**30  # of all processes together; `auto` goes to disk beyond it
BYTES_PER_PIXEL = 4  # three channels and a label


@dataclass(frozen=True)
class Examples:
    """Images (N, H, W, 3) and masks (N, H, W), uint8, resized once as `certify` does.

    Attributes:
        images: an array, or what reads like one.
        masks: likewise; 255 is ignored.
        decode: reads both of one example at once where nothing is cached.
    """

    images: Pictures
    masks: Pictures
    decode: Decoder | None = None

    @classmethod
    def load(
        cls,
        pairs: Sequence[Pair],
        classes: int,
        height: int,
        width: int,
        *,
        cache: Cache = "auto",
        folder: Path | None = None,
        workers: int = 0,
    ) -> Examples:
        """Make every pair ready.

        Args:
            pairs: of the split.
            classes: how many there are.
            height: of the network's input, pixels.
            width: of the network's input, pixels.
            cache: `memory`: decoded now and held in this process, and in each worker process as
                well; `disk`: decoded once, memory-mapped and shared by all processes; `none`:
                decoded each time, so a file that cannot be read is found when its turn comes;
                `auto`: memory up to 2 GiB in all processes together, else disk.
            folder: of the disk cache; `disk_cache.default_folder()` if None.
            workers: processes that will read these examples besides this one.

        Raises:
            InputError: an image or mask that cannot be read or does not fit, or a cache that
                cannot be written.
        """
        decoder = Decoder(tuple(pairs), classes, height, width)
        if cache == "none":
            return cls(DecodedPart(decoder, "images"), DecodedPart(decoder, "masks"), decoder)
        held = len(pairs) * height * width * BYTES_PER_PIXEL * (1 + workers)
        if cache == "disk" or (cache == "auto" and held > MEMORY_LIMIT_BYTES):
            return cls(*cached(decoder, folder or default_folder()))
        return cls(*_in_memory(decoder))

    def __len__(self) -> int:
        return len(self.images)

    def read(self, index: int) -> tuple[Pixels, Pixels]:
        """Image (H, W, 3) and mask (H, W) of one example."""
        return self.decode(index) if self.decode else (self.images[index], self.masks[index])

    def span(self, start: int, stop: int) -> tuple[Pixels, Pixels]:
        """Images (B, H, W, 3) and masks (B, H, W) of the examples start..stop-1 that there are."""
        found = [self.read(i) for i in range(start, min(stop, len(self)))]
        return np.stack([image for image, _ in found]), np.stack([mask for _, mask in found])


def _in_memory(decoder: Decoder) -> tuple[Pixels, Pixels]:
    masks = np.empty((len(decoder.pairs), decoder.height, decoder.width), np.uint8)
    images = np.empty((*masks.shape, 3), np.uint8)
    for i, (image, mask) in enumerate(decoder.all()):
        images[i], masks[i] = image, mask
    return images, masks


def tensors(images: Pixels, masks: Pixels) -> tuple[Tensor, Tensor]:
    """Network input and labels: (B, H, W, 3) to float (B, 3, H, W) / 255, masks to int64."""
    x = torch.from_numpy(np.array(images.transpose(0, 3, 1, 2), order="C"))
    return x.float() / 255, torch.from_numpy(masks.astype(np.int64))
