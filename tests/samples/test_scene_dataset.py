"""The data set writer, read back with the project's own reader."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from lipdeploy.core.dataset import Dataset, load_dataset, read_image, read_mask
from lipdeploy.samples import scene_dataset
from lipdeploy.samples.scene import CLASS_NAMES, render
from lipdeploy.samples.scene_dataset import write_dataset

HEIGHT, WIDTH = 64, 112


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("road")
    return load_dataset(write_dataset(folder, 4, 3, HEIGHT, WIDTH, seed=1))


def test_the_project_reads_the_data_set(written: Dataset) -> None:
    assert written.class_names == CLASS_NAMES
    for split, count in (("train", 4), ("val", 3)):
        pairs = written.pairs(split)
        assert len(pairs) == count
        for pair in pairs:
            assert pair.image.stem == pair.mask.stem
            assert read_image(pair.image).shape == (HEIGHT, WIDTH, 3)
            read_mask(pair.mask, len(CLASS_NAMES), (HEIGHT, WIDTH))


def test_image_and_mask_show_the_same_scene(written: Dataset) -> None:
    first = 1_000_000
    for index, pair in enumerate(written.pairs("train")):
        longest_s = scene_dataset.LONGEST_DRIVE_S
        time_s = float(np.random.default_rng(first + index).uniform(0.0, longest_s))
        frame = render(first + index, time_s, HEIGHT, WIDTH)
        mask = read_mask(pair.mask, len(CLASS_NAMES), (HEIGHT, WIDTH))
        assert np.array_equal(mask, frame.mask)
        assert np.abs(read_image(pair.image).astype(int) - frame.image).mean() < 8.0


def test_train_and_val_are_disjoint(written: Dataset) -> None:
    digests = [
        {hashlib.sha256(pair.mask.read_bytes()).hexdigest() for pair in written.pairs(split)}
        for split in ("train", "val")
    ]
    assert [len(d) for d in digests] == [4, 3]
    assert not digests[0] & digests[1]


def test_the_data_set_is_deterministic(written: Dataset, tmp_path: Path) -> None:
    root = written.source.parent
    write_dataset(tmp_path, 4, 3, HEIGHT, WIDTH, seed=1)
    files = sorted(p.relative_to(root) for p in root.rglob("*") if p.is_file())
    assert len(files) == 2 * (4 + 3) + 1
    assert all((root / name).read_bytes() == (tmp_path / name).read_bytes() for name in files)


@pytest.mark.parametrize(
    ("train", "height", "seed", "message"),
    [
        (-1, 64, 0, "counts are -1 and 1; expected 0 or more"),
        (1, 31, 0, "size is 31x64; expected at least 32x32"),
        (1, 64, 10, "seed is 10; expected 0..9"),
    ],
)
def test_a_data_set_out_of_range_is_refused_before_it_is_started(
    tmp_path: Path, train: int, height: int, seed: int, message: str
) -> None:
    folder = tmp_path / "new"
    with pytest.raises(ValueError, match=message):
        write_dataset(folder, train, 1, height, 64, seed)
    assert not folder.exists()


def test_the_data_set_command(tmp_path: Path) -> None:
    arguments = [str(tmp_path), "--train", "1", "--val", "1", "--size", "32", "48"]
    done = CliRunner().invoke(scene_dataset.main, arguments)
    assert done.exit_code == 0, done.output
    assert done.output == f"Results saved to {tmp_path / 'data.yaml'}\n"
