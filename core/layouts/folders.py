"""The plain layout: a folder of images a split, and class-id masks of the same names."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from lipdeploy.core.errors import InputError
from lipdeploy.core.image_file import image_files
from lipdeploy.core.layouts.fields import Fields
from lipdeploy.core.layouts.layout import Layout
from lipdeploy.core.pair import Pair


def folders(fields: Fields) -> Layout:
    """`masks_dir`/train/x.png belongs to `train`/x.jpg; `masks_dir`/x.png where that is flat.

    Raises:
        InputError: a key is missing.
    """
    fields.require("train", "val", "masks_dir", "names")
    root, keys = fields.root, ("train", "val", "test")
    splits = {key: root / str(fields.values[key]) for key in keys if fields.values.get(key)}
    masks = root / str(fields.values["masks_dir"])
    return Layout(fields.class_names(), splits, partial(_find, splits, masks), plain=True)


def _find(splits: dict[str, Path], masks: Path, split: str) -> list[Pair]:
    folder = splits[split]
    inside = masks / folder.name if (masks / folder.name).is_dir() else masks
    return [Pair(image, _mask_of(image, inside)) for image in image_files(folder)]


def _mask_of(image: Path, masks: Path) -> Path:
    mask = masks / f"{image.stem}.png"
    if not mask.is_file():
        raise InputError(f"{image} has no mask: expected {mask}")
    return mask
