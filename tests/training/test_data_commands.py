"""train, attack and certify on a data set in its authors' layout."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from lipdeploy.cli import main
from tests.runtime.conftest import CLASSES
from tests.runtime.labelled import SIDE, write_model


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """Oxford-IIIT Pet at the tiny model's size, with the tiny model's names for its classes."""
    rng, rows = np.random.default_rng(0), []
    for folder in ("images", "annotations/trimaps"):
        (tmp_path / folder).mkdir(parents=True)
    for i in range(8):
        name, species = (f"Bengal_{i}", 1) if i % 2 else (f"pug_{i}", 2)
        rows.append(f"{name} {species} {species} 1")
        image = rng.integers(0, 256, (SIDE, SIDE, 3)).astype(np.uint8)
        trimap = rng.integers(1, 4, (SIDE, SIDE)).astype(np.uint8)
        trimap[:4] = 3
        assert cv2.imwrite(str(tmp_path / f"images/{name}.jpg"), image)
        assert cv2.imwrite(str(tmp_path / f"annotations/trimaps/{name}.png"), trimap)
    for split in ("trainval", "test"):
        (tmp_path / f"annotations/{split}.txt").write_text("\n".join(rows))
    source = tmp_path / "data.yaml"
    source.write_text(
        f"layout: oxford-iiit-pet\ntarget: species\nval_share: 0.5\nnames: [{', '.join(CLASSES)}]\n"
    )
    return source


def labelled_pixels(folder: Path) -> int:
    """Pixels of the trimaps that are no border."""
    masks = [cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in folder.iterdir()]
    return int(np.count_nonzero(np.stack([np.asarray(mask) for mask in masks]) != 3))


def test_train_and_attack(pets: Path, tmp_path: Path) -> None:
    run = ["--data", str(pets), "--project", str(tmp_path), "--name", "t"]
    assert main(["train", *run, "--imgsz", "32", "--epochs", "1", "--batch", "2"]) == 0
    checkpoint = str(tmp_path / "t/ckpt.pt")
    assert main(["attack", checkpoint, "--data", str(pets), "--eps", "0.1", "--steps", "2"]) == 0


def test_certify_counts_what_the_layout_labels(pets: Path, tmp_path: Path) -> None:
    write_model(tmp_path)
    run = ["certify", str(tmp_path / "tiny.onnx"), "--data", str(pets), "--split", "test"]
    assert main([*run, "--project", str(tmp_path), "--name", "c"]) == 0
    metrics = json.loads((tmp_path / "c/metrics.json").read_text())
    assert metrics["images"] == 8
    assert metrics["pixels"] == labelled_pixels(tmp_path / "annotations/trimaps")
