"""Calibration data: images and labels of one split, read when they are needed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lipdeploy.core.dataset import Dataset, Pair, read_pair
from lipdeploy.core.errors import InputError
from lipdeploy.core.manifest import Manifest
from lipdeploy.export.verifier.parity import Frame, synthetic_frames

FEWEST = 8  # of which ranges can be told at all

Example = tuple[Frame, npt.NDArray[np.uint8]]
"""Image (H, W, 3) and class ids (H, W), 255 where not labelled."""


@dataclass(frozen=True)
class Examples:
    """Some examples of a split at the network's size.

    Attributes:
        pairs: files of each.
        manifest: of the network.
        source: name of the data set file.
        split: name of the split.
    """

    pairs: Sequence[Pair]
    manifest: Manifest
    source: str
    split: str

    def __len__(self) -> int:
        return len(self.pairs)

    def __iter__(self) -> Iterator[Example]:
        """Read one after the other.

        Raises:
            InputError: a file that cannot be read, or a mask that does not fit.
        """
        m = self.manifest
        for pair in self.pairs:
            yield read_pair(pair, len(m.class_names), m.height, m.width)

    def images(self) -> Iterator[Frame]:
        """The images alone."""
        return (image for image, _ in self)

    def spread(self, count: int) -> Examples:
        """At most `count` of them, at equal distances."""
        if count >= len(self.pairs):
            return self
        chosen = [self.pairs[i * len(self.pairs) // count] for i in range(count)]
        return Examples(chosen, self.manifest, self.source, self.split)


def examples_of(dataset: Dataset, split: str, manifest: Manifest) -> Examples:
    """All examples of a split.

    Raises:
        InputError: unknown split, other classes than the model's, or too few examples.
    """
    if manifest.class_names != dataset.class_names:
        raise InputError(
            f"the model has classes {', '.join(manifest.class_names)}; "
            f"{dataset.source} has {', '.join(dataset.class_names)}; they must be the same"
        )
    pairs = dataset.pairs(split)
    if len(pairs) < FEWEST:
        raise InputError(
            f"{dataset.source}: {split} holds {len(pairs)} examples; calibration needs {FEWEST} "
            "or more"
        )
    return Examples(pairs, manifest, dataset.source.name, split)


def measurement_frames(examples: Examples, count: int) -> Iterator[Frame]:
    """Examples first, at most half of the frames, then synthetic ones."""
    real = examples.spread(count // 2) if count > 1 else None
    if real is not None:
        yield from real.images()
    left = count - (len(real) if real is not None else 0)
    yield from synthetic_frames(left, examples.manifest.height, examples.manifest.width)
