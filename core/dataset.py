"""Segmentation data sets on disk: a YAML file, a folder of images, a folder of class-id masks.

    path: .                 # relative to the YAML file; ${VARIABLES} are expanded
    train: images/train
    val: images/val
    masks_dir: masks        # masks/train/x.png belongs to images/train/x.jpg
    names: {0: background, 1: polyp}

Masks are single-channel PNG files of class ids; 255 is ignored.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import yaml

from lipdeploy.core.errors import InputError
from lipdeploy.core.resize import resized, resized_labels

IGNORE = 255
IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})


@dataclass(frozen=True)
class Pair:
    """One image file and the file of its mask."""

    image: Path
    mask: Path


@dataclass(frozen=True)
class Dataset:
    """A parsed data set file; `splits` maps `train`, `val`, ... to image folders."""

    source: Path
    class_names: tuple[str, ...]
    splits: Mapping[str, Path]
    masks: Path

    def pairs(self, split: str) -> list[Pair]:
        """Image and mask of every example of a split, sorted by name.

        Raises:
            InputError: unknown split, no images, or an image without a mask.
        """
        if split not in self.splits:
            known = ", ".join(self.splits)
            raise InputError(f"{self.source} has no split {split!r}; it has: {known}")
        folder = self.splits[split]
        images = image_files(folder)
        masks = self.masks / folder.name if (self.masks / folder.name).is_dir() else self.masks
        return [Pair(image, _mask_of(image, masks)) for image in images]


def image_files(folder: Path) -> list[Path]:
    """Image files directly inside a folder, sorted by name.

    Raises:
        InputError: the folder is missing or holds no image.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; expected a folder of images")
    files = sorted(p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)
    if not files:
        raise InputError(f"{folder} holds no images ({', '.join(sorted(IMAGE_SUFFIXES))})")
    return files


def _mask_of(image: Path, masks: Path) -> Path:
    mask = masks / f"{image.stem}.png"
    if not mask.is_file():
        raise InputError(f"{image} has no mask: expected {mask}")
    return mask


def load_dataset(source: Path) -> Dataset:
    """Read a data set YAML file.

    Raises:
        InputError: missing file, broken YAML, missing key, or class ids that are not 0..K-1.
    """
    fields = _yaml_mapping(source)
    missing = [key for key in ("train", "val", "masks_dir", "names") if key not in fields]
    if missing:
        raise InputError(f"{source} lacks {', '.join(missing)}; see `lipdeploy train --help`")
    root = source.parent / _expanded(str(fields.get("path", ".")), source)
    splits = {key: root / str(fields[key]) for key in ("train", "val", "test") if fields.get(key)}
    return Dataset(
        source, _class_names(fields["names"], source), splits, root / str(fields["masks_dir"])
    )


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


def _expanded(path: str, source: Path) -> str:
    expanded = os.path.expandvars(path)
    if "$" in expanded:
        raise InputError(f"{source}: path {path!r} names a variable that is not set; export it")
    return expanded


def _class_names(names: object, source: Path) -> tuple[str, ...]:
    table = dict(enumerate(names)) if isinstance(names, list) else names
    if not isinstance(table, dict) or sorted(table) != list(range(len(table))) or len(table) < 2:
        raise InputError(
            f"{source}: names must be two or more classes with ids 0, 1, 2, ...; got {names}"
        )
    return tuple(str(table[k]) for k in sorted(table))


def read_image(path: Path) -> npt.NDArray[np.uint8]:
    """Decode an image file to RGB.

    Returns:
        Shape (H, W, 3), 0..255.

    Raises:
        InputError: the file is missing or cannot be decoded.
    """
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise InputError(f"{path} cannot be decoded as an image; remove or replace it")
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


def read_mask(path: Path, classes: int, shape: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Decode a class-id mask and check it against its image and the classes.

    Returns:
        Shape (H, W), values 0..classes-1 or 255 (ignored).

    Raises:
        InputError: the file cannot be decoded, has another size or an id out of range.
    """
    mask = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if mask is None or mask.ndim != 2 or mask.dtype != np.uint8:
        got = "no image" if mask is None else f"shape {mask.shape}, {mask.dtype}"
        raise InputError(
            f"mask {path}: got {got}; expected a single-channel 8-bit PNG of class ids"
        )
    if mask.shape != shape:
        raise InputError(
            f"mask {path} is {_size(mask.shape)}, its image {_size(shape)}; make them equal"
        )
    wrong = np.unique(mask[(mask >= classes) & (mask != IGNORE)])
    if wrong.size:
        raise InputError(
            f"mask {path} holds class id {int(wrong[0])}; "
            f"expected 0..{classes - 1} or {IGNORE} (ignored)"
        )
    return np.asarray(mask, np.uint8)


def read_pair(
    pair: Pair, classes: int, height: int, width: int
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Decode an example and bring it to the network's size.

    Returns:
        RGB image (height, width, 3) and class ids (height, width).

    Raises:
        InputError: a file that cannot be read, or a mask that does not fit.
    """
    image = read_image(pair.image)
    mask = read_mask(pair.mask, classes, (image.shape[0], image.shape[1]))
    return resized(image, height, width), resized_labels(mask, height, width)


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]}x{shape[0]}"
