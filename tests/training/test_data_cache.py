"""Where examples are held: the same values from everywhere, and a cache that is whole."""

from __future__ import annotations

import errno
import multiprocessing
import os
import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest

from lipdeploy.core.dataset import Pair, read_pair
from lipdeploy.core.errors import InputError
from lipdeploy.training.data import Cache, Examples, disk_cache, examples
from lipdeploy.training.data.disk_cache import MappedArray
from tests.training.conftest import SIDE, MakePairs


def load(pairs: list[Pair], folder: Path, cache: Cache = "disk", side: int = 16) -> Examples:
    return Examples.load(pairs, 3, side, side, cache=cache, folder=folder)


def entries(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.is_dir()]


@pytest.mark.parametrize("cache", ["memory", "disk", "none"])
def test_every_cache_holds_what_is_read(
    make_pairs: MakePairs, tmp_path: Path, cache: Cache
) -> None:
    pairs = make_pairs(5)
    found = pickle.loads(pickle.dumps(load(pairs, tmp_path / "c", cache)))
    assert len(found) == 5
    for i, pair in enumerate(pairs):
        image, mask = read_pair(pair, 3, 16, 16)
        for a, b in (found.read(i), (found.images[i], found.masks[i])):
            assert np.array_equal(a, image)
            assert np.array_equal(b, mask)
    images, masks = found.span(3, 9)
    assert np.array_equal(images, found.images[3:5])
    assert np.array_equal(masks, found.masks[3:5])
    assert found.images[1:4].shape == (3, 16, 16, 3)
    assert np.array_equal(found.masks[3:9][1], read_pair(pairs[4], 3, 16, 16)[1])


def test_a_map_travels_as_its_path(make_pairs: MakePairs, tmp_path: Path) -> None:
    found = load(make_pairs(20), tmp_path / "c", side=SIDE)
    assert isinstance(found.images, MappedArray)
    assert len(pickle.dumps(found)) < 2000 < 20 * SIDE * SIDE * 3


def test_an_entry_is_used_again_and_whatever_decides_it_makes_another(
    make_pairs: MakePairs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs, folder = make_pairs(3), tmp_path / "c"
    load(pairs, folder)
    monkeypatch.setattr(disk_cache, "_build", pytest.fail)
    load(pairs, folder)
    monkeypatch.undo()
    load(pairs, folder, side=8)
    load(pairs[:2], folder)
    assert len(entries(folder)) == 3
    assert cv2.imwrite(str(pairs[0].image), np.zeros((SIDE, SIDE, 3), np.uint8))
    os.utime(pairs[0].image, (1, 1))
    assert not load(pairs, folder).images[0].any()
    assert len(entries(folder)) == 4


def test_a_failed_build_leaves_nothing_and_a_killed_one_is_cleared(
    make_pairs: MakePairs, tmp_path: Path
) -> None:
    pairs, folder = make_pairs(3), tmp_path / "c"
    good = pairs[2].mask.read_bytes()
    pairs[2].mask.write_bytes(b"no mask")
    with pytest.raises(InputError, match=r"mask_2\.png"):
        load(pairs, folder)
    assert entries(folder) == []
    (lock,) = folder.glob("*.lock")
    pairs[2].mask.write_bytes(good)
    load(pairs, folder)
    (entry,) = entries(folder)
    entry.rename(entry.with_name(f"{entry.name}.partial"))  # as a process leaves it that is killed
    load(pairs, folder)
    assert entries(folder) == [entry]
    assert lock.exists()


def _load_in_process(pairs: list[Pair], folder: Path, index: int) -> None:
    found = load(pairs, folder)
    assert np.array_equal(found.images[index], read_pair(pairs[index], 3, 16, 16)[0])


def test_several_processes_may_begin_at_once(make_pairs: MakePairs, tmp_path: Path) -> None:
    pairs, folder = make_pairs(6), tmp_path / "c"
    context = multiprocessing.get_context("forkserver")
    started = [context.Process(target=_load_in_process, args=(pairs, folder, i)) for i in range(3)]
    for process in started:
        process.start()
    for process in started:
        process.join(60)
    assert [process.exitcode for process in started] == [0, 0, 0]
    assert len(entries(folder)) == 1


@pytest.mark.parametrize("damage", [b"", b"garbage" * 9, "cut", "other"])
def test_a_damaged_entry_says_what_to_delete(
    make_pairs: MakePairs, tmp_path: Path, damage: bytes | str
) -> None:
    pairs, folder = make_pairs(3), tmp_path / "c"
    load(pairs, folder)
    (entry,) = entries(folder)
    file = entry / "images.npy"
    if damage == "other":
        np.save(file, np.zeros((3, 4, 4, 3), np.uint8))
    else:
        file.write_bytes(file.read_bytes()[:-1] if isinstance(damage, str) else damage)
    with pytest.raises(InputError, match=rf"{entry.name} .*; delete that folder") as caught:
        load(pairs, folder)
    assert "\n" not in str(caught.value)


def test_a_cache_that_cannot_be_written(make_pairs: MakePairs, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InputError, match="cannot be written"):
        load(make_pairs(1), tmp_path / "file")


def test_a_disk_that_is_full(
    make_pairs: MakePairs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(disk_cache, "_write", full)
    with pytest.raises(InputError, match=r"cannot be written \(No space left on device\)"):
        load(make_pairs(1), tmp_path / "c")
    assert entries(tmp_path / "c") == []


def test_auto_goes_to_disk_beyond_the_limit_of_all_processes(
    make_pairs: MakePairs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = make_pairs(2)
    monkeypatch.setenv("LIPDEPLOY_CACHE", str(tmp_path / "own"))
    monkeypatch.setattr(examples, "MEMORY_LIMIT_BYTES", 2 * 16 * 16 * 4 * 2)
    kinds = [type(Examples.load(pairs, 3, 16, 16, workers=workers).images) for workers in (0, 1, 2)]
    assert kinds == [np.ndarray, np.ndarray, MappedArray]
    assert len(entries(tmp_path / "own")) == 1
