"""Image files: which there are in a folder, and their pixels."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from lipdeploy.core.errors import InputError

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})


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


def read_image(path: Path) -> npt.NDArray[np.uint8]:
    """Decode an image file to RGB, turned as its EXIF orientation says.

    A grey image gives three equal channels, of 16 bits the upper 8 are kept, a palette is looked
    up, and transparency is dropped: the colours below it count as they are stored.

    Returns:
        Shape (H, W, 3), 0..255.

    Raises:
        InputError: the file is missing or cannot be decoded.
    """
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise InputError(f"{path} cannot be decoded as an image; remove or replace it")
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)
