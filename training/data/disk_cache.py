"""Decoded examples on disk, memory-mapped: shared by all processes, kept from run to run.

An entry is a folder of two .npy files. Its name is a hash of everything that decides the content:
names, sizes and times of the files, what the masks' values mean, the size in pixels. A changed data
set gets another entry; old ones can be deleted at any time.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np

from lipdeploy.core.errors import InputError
from lipdeploy.training.data.decoder import Decoder, Pixels

FORMAT = 1  # of the entries; raise it when decoding or resizing changes

_PARTS = ("images.npy", "masks.npy")


class MappedArray:
    """An .npy file read through the page cache; a copy in another process opens it anew."""

    def __init__(self, path: Path) -> None:
        self.path, self._array = path, np.lib.format.open_memmap(path, mode="r")

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the whole array."""
        return tuple(self._array.shape)

    def __len__(self) -> int:
        return len(self._array)

    def __getitem__(self, index: int | slice) -> Pixels:
        return np.array(self._array[index])

    def __reduce__(self) -> tuple[type[MappedArray], tuple[Path]]:
        return MappedArray, (self.path,)


def default_folder() -> Path:
    """`$LIPDEPLOY_CACHE`, else `lipdeploy` in the user's cache folder."""
    own, xdg = os.environ.get("LIPDEPLOY_CACHE"), os.environ.get("XDG_CACHE_HOME")
    return Path(own) if own else (Path(xdg) if xdg else Path.home() / ".cache") / "lipdeploy"


def cached(decoder: Decoder, folder: Path) -> tuple[MappedArray, MappedArray]:
    """Images and masks of a decoder, decoded by the first process that asks; others wait for it.

    Raises:
        InputError: a file that cannot be decoded, or a cache that cannot be written or read.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        entry = folder / _key(decoder)
        if not entry.is_dir():
            with _locked(entry):
                if not entry.is_dir():
                    _build(decoder, entry)
    except OSError as error:
        raise InputError(
            f"cache {folder} cannot be written ({error.strerror}); free space, "
            "choose a folder by LIPDEPLOY_CACHE, or do without the disk cache"
        ) from error
    return _opened(decoder, entry)


def _key(decoder: Decoder) -> str:
    size = (FORMAT, cv2.__version__, decoder.classes, decoder.height, decoder.width)
    digest = hashlib.sha256(repr(size).encode())
    for pair in decoder.pairs:
        for path in (pair.image, pair.mask):
            found = path.stat()
            state = (str(path.absolute()), found.st_size, found.st_mtime_ns)
            digest.update(repr(state).encode())
        digest.update(repr(pair.labels).encode())
    return digest.hexdigest()[:32]


@contextlib.contextmanager
def _locked(entry: Path) -> Iterator[None]:
    """One process at a time; the system lets go of the lock of a process that dies."""
    with entry.with_name(f"{entry.name}.lock").open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _build(decoder: Decoder, entry: Path) -> None:
    """Write the entry under another name and rename it: it is there whole or not at all."""
    partial = entry.with_name(f"{entry.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)  # of a process that was killed
    partial.mkdir()
    try:
        images, masks = (partial / name for name in _PARTS)
        with images.open("wb") as image_file, masks.open("wb") as mask_file:
            _write(decoder, image_file, mask_file)
        partial.rename(entry)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _write(decoder: Decoder, image_file: BinaryIO, mask_file: BinaryIO) -> None:
    # Plain writes, because a full disk is an error here and a crash in a memory map.
    for file, shape in zip((image_file, mask_file), _shapes(decoder), strict=True):
        header = {"descr": "|u1", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
    for image, mask in decoder.all():
        image_file.write(image.tobytes())
        mask_file.write(mask.tobytes())
    for file in (image_file, mask_file):
        file.flush()
        os.fsync(file.fileno())


def _opened(decoder: Decoder, entry: Path) -> tuple[MappedArray, MappedArray]:
    try:
        images, masks = (MappedArray(entry / name) for name in _PARTS)
    except (OSError, ValueError) as error:
        raise InputError(f"cache entry {entry} is damaged; delete that folder") from error
    if (images.shape, masks.shape) != _shapes(decoder):
        raise InputError(f"cache entry {entry} holds other shapes; delete that folder")
    return images, masks


def _shapes(decoder: Decoder) -> tuple[tuple[int, ...], tuple[int, ...]]:
    masks = (len(decoder.pairs), decoder.height, decoder.width)
    return (*masks, 3), masks
