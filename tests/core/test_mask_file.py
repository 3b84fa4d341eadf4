"""Masks of every kind of PNG, against Pillow and against the numbers that were written."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from lipdeploy.core.dataset import read_image
from lipdeploy.core.errors import InputError
from lipdeploy.core.mask_file import LabelMap, plain_ids, read_mask, stored_values

SHAPE = (13, 11)
RNG = np.random.default_rng(0)


def random_ids(below: int) -> np.ndarray:
    return RNG.integers(0, below, SHAPE)


def write_palette(path: Path, ids: np.ndarray, bits: int, **options: object) -> None:
    picture = Image.new("P", (ids.shape[1], ids.shape[0]))
    picture.putdata(ids.ravel().tolist())
    picture.putpalette([(37 * i + 5 * c) % 256 for i in range(2**bits) for c in range(3)])
    picture.save(path, bits=bits, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_of_a_palette_the_index_counts_and_not_the_colour(tmp_path: Path, bits: int) -> None:
    path, ids = tmp_path / "m.png", random_ids(2**bits)
    write_palette(path, ids, bits)
    assert path.read_bytes()[24:26] == bytes([bits, 3])  # the file is what it is meant to be
    assert np.array_equal(stored_values(path), ids)
    with Image.open(path) as opened:
        assert np.array_equal(stored_values(path), np.asarray(opened))


def test_a_palette_with_transparency(tmp_path: Path) -> None:
    path, ids = tmp_path / "m.png", random_ids(16)
    write_palette(path, ids, 4, transparency=3)
    assert b"tRNS" in path.read_bytes()
    assert np.array_equal(stored_values(path), ids)


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_grey_of_any_depth(tmp_path: Path, bits: int) -> None:
    """The file is written from the PNG standard: Pillow writes no grey of 2 and 4 bits."""
    path, ids = tmp_path / "m.png", random_ids(2**bits)
    rows = (
        ids.astype(">u2").view(np.uint8).reshape(SHAPE[0], -1) if bits == 16 else _packed(ids, bits)
    )
    pixels = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    header = struct.pack(">IIBBBBB", SHAPE[1], SHAPE[0], bits, 0, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", pixels), (b"IEND", b"")]
    chunks = [
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in parts
    ]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))
    assert np.array_equal(stored_values(path), ids)


def _packed(ids: np.ndarray, bits: int) -> np.ndarray:
    """Rows of `bits` a value, the first value in the upper bits, as the PNG standard has it."""
    ones = (ids[..., None] >> np.arange(bits - 1, -1, -1)) & 1
    return np.packbits(ones.reshape(len(ids), -1).astype(np.uint8), axis=1)


def test_a_mask_of_one_bit_has_the_classes_0_and_1(tmp_path: Path) -> None:
    path, ids = tmp_path / "m.png", random_ids(2)
    Image.fromarray(ids.astype(bool)).save(path)
    assert np.array_equal(read_mask(path, 2, SHAPE), ids)


def test_a_mask_of_16_bits(tmp_path: Path) -> None:
    path, ids = tmp_path / "m.png", random_ids(3).astype(np.uint16)
    ids[0], ids[1] = 255, 65535
    cv2.imwrite(str(path), ids)
    with pytest.raises(InputError, match=r"class id 65535; expected 0\.\.2 or 255 \(ignored\)"):
        read_mask(path, 3, SHAPE)
    found = read_mask(path, 3, SHAPE, plain_ids(3, {65535}))
    assert found.dtype == np.uint8
    assert np.array_equal(found, np.where(ids == 65535, 255, ids))


def test_a_map_of_values(tmp_path: Path) -> None:
    path = tmp_path / "m.png"
    cv2.imwrite(str(path), np.array([[7, 8, 9]], np.uint8))
    labels = LabelMap(((7, 1), (8, 0), (9, 255)), "7, 8 or 9")
    assert read_mask(path, 2, (1, 3), labels).tolist() == [[1, 0, 255]]
    assert read_mask(path, 2, (1, 3), labels.ignoring({0})).tolist() == [[1, 255, 255]]
    cv2.imwrite(str(path), np.array([[7, 6, 5]], np.uint8))
    with pytest.raises(InputError, match="class id 5; expected 7, 8 or 9"):
        read_mask(path, 2, (1, 3), labels)


@pytest.mark.parametrize("damage", ["empty", "jpeg", "cut", "flipped", "header", "missing"])
def test_damaged_masks_are_one_line(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "m.png"
    cv2.imwrite(str(path), random_ids(2).astype(np.uint8))
    data = path.read_bytes()
    middle = data.index(b"IDAT") + 8
    jpeg = cv2.imencode(".jpg", np.zeros(SHAPE, np.uint8))[1].tobytes()
    broken = {
        "empty": b"",
        "jpeg": jpeg,
        "cut": data[:-20],
        "flipped": data[:middle] + bytes([data[middle] ^ 255]) + data[middle + 1 :],
        "header": data[:24] + bytes([0]) + data[25:],
    }
    path.unlink()
    if damage != "missing":
        path.write_bytes(broken[damage])
    with pytest.raises(InputError, match=r"mask .*m\.png") as caught:
        read_mask(path, 2, SHAPE)
    assert "\n" not in str(caught.value)


def test_images_that_are_grey_palette_16_bit_or_transparent(tmp_path: Path) -> None:
    grey = RNG.integers(0, 256, SHAPE).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "grey.png"), grey)
    assert np.array_equal(read_image(tmp_path / "grey.png"), np.stack([grey] * 3, -1))
    cv2.imwrite(str(tmp_path / "deep.png"), grey.astype(np.uint16) * 256 + 200)
    assert np.array_equal(read_image(tmp_path / "deep.png"), np.stack([grey] * 3, -1))
    rgba = RNG.integers(0, 256, (*SHAPE, 4)).astype(np.uint8)
    Image.fromarray(rgba).save(tmp_path / "alpha.png")
    assert np.array_equal(read_image(tmp_path / "alpha.png"), rgba[..., :3])
    write_palette(tmp_path / "palette.png", random_ids(16), 4)
    with Image.open(tmp_path / "palette.png") as opened:
        expected = np.asarray(opened.convert("RGB"))
    assert np.array_equal(read_image(tmp_path / "palette.png"), expected)
