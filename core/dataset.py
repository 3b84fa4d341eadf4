"""Segmentation data sets on disk: a YAML file, and images and masks in a layout it names.

    path: .                 # relative to the YAML file; ${VARIABLES} are expanded
    train: images/train
    val: images/val
    masks_dir: masks        # masks/train/x.png belongs to images/train/x.jpg
    names: {0: background, 1: polyp}
    ignore: [11]            # class ids that do not count, besides 255; none if left out

Without `layout`, masks are single-channel PNG files of class ids. `layout: cityscapes`,
`oxford-iiit-pet` and `kvasir-seg` read what the authors of these data sets distribute and bring
their own classes and splits (docs/data.md).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lipdeploy.core.errors import InputError
from lipdeploy.core.image_file import IMAGE_SUFFIXES, image_files, read_image
from lipdeploy.core.layouts import LAYOUTS, Fields, Layout
from lipdeploy.core.mask_file import IGNORE, LARGEST_VALUE, plain_ids, read_mask
from lipdeploy.core.pair import Pair, read_pair

__all__ = [
    "IGNORE",
    "IMAGE_SUFFIXES",
    "Dataset",
    "Pair",
    "image_files",
    "load_dataset",
    "read_image",
    "read_mask",
    "read_pair",
]


@dataclass(frozen=True)
class Dataset:
    """A parsed data set file.

    Attributes:
        source: the YAML file.
        layout: classes, splits and files.
        ignore: class ids that do not count, besides 255.
    """

    source: Path
    layout: Layout
    ignore: frozenset[int] = frozenset()

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names in order of class id."""
        return self.layout.class_names

    @property
    def splits(self) -> Mapping[str, Path]:
        """`train`, `val`, ... and the folder that the image files of each lie in."""
        return self.layout.splits

    def pairs(self, split: str) -> list[Pair]:
        """Image and mask of every example of a split, sorted by name.

        Raises:
            InputError: unknown split, no images, or an image without a mask.
        """
        if split not in self.splits:
            known = ", ".join(self.splits)
            raise InputError(f"{self.source} has no split {split!r}; it has: {known}")
        pairs = self.layout.find(split)
        if not pairs:
            raise InputError(f"{self.source}: {split} holds no example; add images to it")
        return [self._ignoring(pair) for pair in pairs] if self.ignore else pairs

    def _ignoring(self, pair: Pair) -> Pair:
        classes = len(self.class_names)
        labels = (
            pair.labels.ignoring(self.ignore) if pair.labels else plain_ids(classes, self.ignore)
        )
        return dataclasses.replace(pair, labels=labels)


def load_dataset(source: Path) -> Dataset:
    """Read a data set YAML file.

    Raises:
        InputError: missing file, broken YAML, unknown layout, missing key, or class ids that are
            not 0..K-1.
    """
    fields = Fields(source, _yaml_mapping(source))
    layout = LAYOUTS[fields.choice("layout", tuple(LAYOUTS))](fields)
    # A plain mask may hold ids beyond the classes; what a layout maps is one of its classes.
    largest = LARGEST_VALUE if layout.plain else len(layout.class_names) - 1
    return Dataset(source, layout, fields.ignored(largest))


def _yaml_mapping(source: Path) -> Mapping[str, Any]:
    if not source.is_file():
        raise InputError(f"data set {source} is not a file; expected a YAML file")
    try:
        fields = yaml.safe_load(source.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        first = str(error).splitlines()[0]
        raise InputError(f"data set {source} is not valid YAML: {first}") from error
    if not isinstance(fields, dict):
        raise InputError(f"data set {source} holds no mapping; expected keys path, train, val, ...")
    return fields
