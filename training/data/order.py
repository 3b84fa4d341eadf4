"""Which examples a process sees, and when: a function of seed, epoch and step alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from lipdeploy.core.errors import InputError


def batches_per_epoch(count: int, batch: int) -> int:
    """Full batches of an epoch; a data set smaller than a batch gives one."""
    return max(1, count // batch)


@dataclass(frozen=True)
class Order:
    """The random order of an epoch, cut into steps, shares of processes and micro-batches.

    Process r of `world` takes images r, r + world, ... of a step's batch, `micro` at a time. So
    the m-th micro-batches of all processes together are what one process takes with `micro` times
    `world`: batch statistics that are summed over the processes are the same.

    Attributes:
        count: examples there are.
        batch: images of a step in all processes together; the rest of an epoch is left out.
        seed: of the run.
        rank: of this process.
        world: number of processes.
        micro: images of one forward pass of this process; None for its whole share.

    Raises:
        InputError: a process without an image, or unequal shares that are cut into micro-batches:
            processes would wait for each other.
    """

    count: int
    batch: int
    seed: int
    rank: int = 0
    world: int = 1
    micro: int | None = None

    def __post_init__(self) -> None:
        if self.batch < 1 or not 0 <= self.rank < self.world or (self.micro or 1) < 1:
            raise ValueError(f"{self}: expected batch >= 1, micro >= 1 and 0 <= rank < world")
        if self.count < 1:
            raise InputError("there is no example to train on; add images to the split")
        if self.images_per_step < self.world or (self.micro and self.images_per_step % self.world):
            raise InputError(
                f"a step has {self.images_per_step} images for {self.world} processes; choose a "
                f"batch (and no fewer examples) that is a multiple of {self.world}"
            )

    @property
    def images_per_step(self) -> int:
        """In all processes together."""
        return min(self.batch, self.count)

    @property
    def micro_batches_per_step(self) -> int:
        """Of this process, and of each other one."""
        share = -(-self.images_per_step // self.world)
        return -(-share // (self.micro or share))

    def epoch(self, epoch: int, start: int = 0) -> Iterator[tuple[int, ...]]:
        """The examples of each micro-batch of this process, from step `start` on."""
        shuffled = np.random.default_rng((self.seed, epoch)).permutation(self.count)
        for step in range(start, batches_per_epoch(self.count, self.batch)):
            own = shuffled[step * self.batch : (step + 1) * self.batch][self.rank :: self.world]
            size = self.micro or len(own)
            for first in range(0, len(own), size):
                yield tuple(int(i) for i in own[first : first + size])
