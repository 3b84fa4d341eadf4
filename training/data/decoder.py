"""Examples decoded from their files at the training size."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from lipdeploy.core.dataset import Pair, read_image, read_pair
from lipdeploy.core.resize import resized

Pixels = npt.NDArray[np.uint8]

READ_AHEAD = 64  # examples decoded before the first of them is needed


class Pictures(Protocol):
    """Images (N, H, W, 3) or masks (N, H, W), uint8: an array, or what reads like one."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int | slice, /) -> Pixels: ...


@dataclass(frozen=True)
class Decoder:
    """Reads example i of the pairs, resized as `certify` does."""

    pairs: Sequence[Pair]
    classes: int
    height: int
    width: int

    def __call__(self, index: int) -> tuple[Pixels, Pixels]:
        """Image (H, W, 3) and mask (H, W).

        Raises:
            InputError: an image or mask that cannot be read or does not fit.
        """
        return read_pair(self.pairs[index], self.classes, self.height, self.width)

    def image(self, index: int) -> Pixels:
        """The image alone."""
        return resized(read_image(self.pairs[index].image), self.height, self.width)

    def all(self) -> Iterator[tuple[Pixels, Pixels]]:
        """Every example in order, decoded by as many threads as there are processors."""
        count = len(self.pairs)
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            for start in range(0, count, READ_AHEAD):
                yield from pool.map(self, range(start, min(start + READ_AHEAD, count)))


@dataclass(frozen=True)
class DecodedPart:
    """The images or the masks of a decoder, decoded each time they are asked for."""

    decode: Decoder
    part: Literal["images", "masks"]

    def __len__(self) -> int:
        return len(self.decode.pairs)

    def __getitem__(self, index: int | slice) -> Pixels:
        if isinstance(index, slice):
            return np.stack([self[i] for i in range(*index.indices(len(self)))])
        return self.decode.image(index) if self.part == "images" else self.decode(index)[1]
