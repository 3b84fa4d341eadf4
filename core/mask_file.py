"""Mask files: the number stored at every pixel, and which class it stands for.

Masks are single-channel PNG files, grey or palette, of 1, 2, 4, 8 or 16 bits. What counts is the
number in the file: the index of a palette and not its colour, and 1 in a file of one bit, which
image decoders stretch to 255. 255 is ignored.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from lipdeploy.core.errors import InputError

IGNORE = 255
LARGEST_VALUE = 2**16 - 1

_PNG = b"\x89PNG\r\n\x1a\n"
_GREY, _PALETTE = 0, 3
_COLOUR_TYPES = {2: "RGB", 4: "grey with transparency", 6: "RGB with transparency"}
_HEADER_BYTES = 33  # signature and the whole IHDR chunk
_MOST_COLOUR = 48  # grey levels between the channels of what JPEG makes of a grey picture

Stored = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]


@dataclass(frozen=True)
class LabelMap:
    """Which class each stored value stands for; a value that is not listed is an error.

    Attributes:
        ids: (stored value, class id or 255) for every value that may occur.
        expected: those values in words, for the error message.
        grey: the file is a grey picture of any format; else a PNG of numbers.
    """

    ids: tuple[tuple[int, int], ...]
    expected: str
    grey: bool = False

    def ignoring(self, classes: Collection[int]) -> LabelMap:
        """The same map with these classes ignored."""
        ids = tuple((value, IGNORE if c in classes else c) for value, c in self.ids)
        return replace(self, ids=ids)


def plain_ids(classes: int, ignore: Collection[int] = ()) -> LabelMap:
    """Stored values 0..classes-1 are the class ids; 255 and the values in `ignore` are ignored."""
    kept = [(k, k) for k in range(classes) if k not in ignore]
    ignored = sorted({IGNORE, *ignore})
    words = ", ".join(map(str, ignored))
    return LabelMap(
        tuple(kept + [(v, IGNORE) for v in ignored]), f"0..{classes - 1} or {words} (ignored)"
    )


def read_mask(
    path: Path, classes: int, shape: tuple[int, int], labels: LabelMap | None = None
) -> npt.NDArray[np.uint8]:
    """Decode a mask and check it against its image and the classes.

    Args:
        path: of the file.
        classes: how many there are.
        shape: of the image, (H, W).
        labels: what the stored values stand for; None where they are the class ids.

    Returns:
        Shape (H, W), values 0..classes-1 or 255 (ignored).

    Raises:
        InputError: the file cannot be decoded, has another size or a value out of range.
    """
    labels = labels or plain_ids(classes)
    stored = _grey_levels(path) if labels.grey else stored_values(path)
    if stored.shape != shape:
        raise InputError(
            f"mask {path} is {_size(stored.shape)}, its image {_size(shape)}; make them equal"
        )
    table = np.full(LARGEST_VALUE + 1 if stored.dtype == np.uint16 else 256, -1, np.int16)
    for value, class_id in labels.ids:
        if value < len(table) and (class_id < classes or class_id == IGNORE):
            table[value] = class_id
    found = table[stored]
    if found.min(initial=0) < 0:
        wrong = int(stored[found < 0].min())
        raise InputError(f"mask {path} holds class id {wrong}; expected {labels.expected}")
    return found.astype(np.uint8)


def stored_values(path: Path) -> Stored:
    """The numbers in a single-channel PNG, grey or palette, as they are stored.

    Returns:
        Shape (H, W), uint8, or uint16 for a file of 16 bits.

    Raises:
        InputError: the file is missing, damaged, or no single-channel PNG.
    """
    data = _bytes_of(path)
    if not data.startswith(_PNG) or len(data) < _HEADER_BYTES or data[12:16] != b"IHDR":
        raise _refusal(path, "a file that is no PNG")
    depth, colour_type = data[24], data[25]
    if colour_type not in (_GREY, _PALETTE):
        raise _refusal(path, f"a PNG of kind {_COLOUR_TYPES.get(colour_type, colour_type)}")
    decoded = _decoded(_as_grey(path, data), cv2.IMREAD_UNCHANGED)
    if decoded is None or decoded.ndim != 2:
        raise _refusal(path, "a damaged PNG")
    if depth == 16:
        return np.asarray(decoded, np.uint16)
    # The decoder stretches grey of fewer bits to 0..255, by a whole factor.
    stretched = 255 // (2**depth - 1)
    return np.asarray(decoded // stretched, np.uint8)


def _as_grey(path: Path, data: bytes) -> bytes:
    """The same numbers as a grey PNG: palette, transparency, gamma and the like are left out."""
    chunks = list(_chunks(data))
    if not chunks or chunks[-1][0] != b"IEND":
        raise _refusal(path, "a PNG that is cut off or damaged")
    header = chunks[0][1]
    kept = [(b"IHDR", header[:9] + bytes([_GREY]) + header[10:])]
    kept += [(kind, body) for kind, body in chunks if kind in (b"IDAT", b"IEND")]
    return _PNG + b"".join(_chunk(kind, body) for kind, body in kept)


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and body of every whole chunk whose checksum is right, up to the first other one."""
    position = len(_PNG)
    while position + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, position)
        end = position + 8 + length
        kind, body = data[position + 4 : position + 8], data[position + 8 : end]
        if end + 4 > len(data) or data[end : end + 4] != _checksum(kind, body):
            return
        yield kind, body
        position = end + 4
        if kind == b"IEND":
            return


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + _checksum(kind, body)


def _checksum(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", zlib.crc32(kind + body))


def _grey_levels(path: Path) -> Stored:
    """A grey picture of any format, such as the JPEG masks of Kvasir-SEG; uint8 (H, W)."""
    picture = _decoded(_bytes_of(path), cv2.IMREAD_COLOR)
    if picture is None:
        raise InputError(f"mask {path} cannot be decoded as an image; remove or replace it")
    spread = int((picture.max(axis=-1) - picture.min(axis=-1)).max())
    if spread > _MOST_COLOUR:
        raise InputError(f"mask {path} is a picture in colour; expected a grey mask")
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), np.uint8)


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"mask {path} cannot be read: {error.strerror}; check the path") from error


def _decoded(data: bytes, flags: int) -> npt.NDArray[Any] | None:
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:  # an empty file, or more pixels than OpenCV takes
        return None


def _refusal(path: Path, got: str) -> InputError:
    return InputError(f"mask {path}: got {got}; expected a single-channel PNG of class ids")


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]}x{shape[0]}"
