"""The largest frame that is taken, and the size that an image file's header declares."""

from __future__ import annotations

import struct
from collections.abc import Callable

LARGEST_PIXELS = 64 * 1024 * 1024  # 8192 x 8192: 8K video with room; 192 MiB in RGB
LARGEST_SIDE = 16_384


def too_large(width: int, height: int) -> str:
    """What is wrong with a size, or nothing: checked before memory is asked for."""
    if width <= LARGEST_SIDE and height <= LARGEST_SIDE and width * height <= LARGEST_PIXELS:
        return ""
    return (
        f"its frames are {width}x{height} pixels, at most {LARGEST_PIXELS / 2**20:.0f} Mi pixels "
        f"and {LARGEST_SIDE} a side are taken; scale it down"
    )


def size_from_header(data: bytes) -> tuple[int, int] | None:
    """Width and height that an encoded image declares; None where the header is not understood.

    Source: PNG 11.2.2, JPEG (T.81) B.2.2, BMP, WebP (RFC 9649), TIFF 6.
    """
    for magic, read in _READERS:
        if data.startswith(magic):
            try:
                return read(data)
            except (struct.error, IndexError):
                return None
    return None


def _png(data: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from(">II", data, 16)
    return width, height


def _bmp(data: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from("<ii", data, 18)
    return abs(width), abs(height)


def _jpeg(data: bytes) -> tuple[int, int] | None:
    at = 2
    while at + 9 <= len(data):
        if data[at] != 0xFF:
            return None
        marker = data[at + 1]
        if marker == 0xFF:  # fill bytes
            at += 1
            continue
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", data, at + 5)
            return width, height
        at += 2 + int(struct.unpack_from(">H", data, at + 2)[0])
    return None


def _webp(data: bytes) -> tuple[int, int] | None:
    kind = data[12:16]
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    if kind == b"VP8L":
        bits = int(struct.unpack_from("<I", data, 21)[0])
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8X":
        return 1 + _uint24(data, 24), 1 + _uint24(data, 27)
    return None


def _uint24(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 3], "little")


def _tiff(data: bytes) -> tuple[int, int] | None:
    order = "<" if data.startswith(b"II") else ">"
    at = int(struct.unpack_from(order + "I", data, 4)[0])
    found: dict[int, int] = {}
    for entry in range(int(struct.unpack_from(order + "H", data, at)[0])):
        tag, kind = struct.unpack_from(order + "HH", data, at + 2 + 12 * entry)
        if tag in (256, 257):  # ImageWidth, ImageLength: SHORT or LONG
            code = order + ("H" if kind == 3 else "I")
            found[tag] = int(struct.unpack_from(code, data, at + 10 + 12 * entry)[0])
    return (found[256], found[257]) if len(found) == 2 else None


_READERS: tuple[tuple[bytes, Callable[[bytes], tuple[int, int] | None]], ...] = (
    (b"\x89PNG", _png),
    (b"\xff\xd8", _jpeg),
    (b"BM", _bmp),
    (b"RIFF", _webp),
    (b"II*\x00", _tiff),
    (b"MM\x00*", _tiff),
)
