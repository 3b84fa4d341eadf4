"""Small labelled data for `certify`, and the command on it."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from lipdeploy.cli import main
from tests.runtime.conftest import CLASSES, save_tiny, tiny_manifest

SIDE = 16
FILES = ("metrics.json", "per_image.csv", "curve.csv")


def write_data(folder: Path, count: int = 3) -> Path:
    """Random images; every third lacks the last class and has two ignored rows."""
    rng = np.random.default_rng(0)
    for kind in ("images", "masks"):
        (folder / kind / "val").mkdir(parents=True)
    for i in range(count):
        image = rng.integers(0, 256, (SIDE, SIDE, 3), np.uint8)
        mask = rng.integers(0, 3 if i % 3 < 2 else 2, (SIDE, SIDE)).astype(np.uint8)
        mask[:2] = 255 if i % 3 == 2 else mask[:2]
        cv2.imwrite(str(folder / f"images/val/{i}.png"), image[..., ::-1])
        cv2.imwrite(str(folder / f"masks/val/{i}.png"), mask)
    names = ", ".join(CLASSES)
    text = f"path: .\ntrain: images/val\nval: images/val\nmasks_dir: masks\nnames: [{names}]\n"
    (folder / "data.yaml").write_text(text)
    return folder / "data.yaml"


def write_model(folder: Path, name: str = "tiny.onnx", **fields: Any) -> Path:
    """The tiny model at 16x16."""
    return save_tiny(folder / name, tiny_manifest(SIDE, SIDE, **fields))


def write_all(folder: Path, count: int) -> Path:
    """Data and model; the folder."""
    write_data(folder, count)
    write_model(folder)
    return folder


def certify(folder: Path, name: str, *args: str) -> int:
    """`lipdeploy certify` on what the functions above wrote; the exit code."""
    model, data = str(folder / "tiny.onnx"), str(folder / "data.yaml")
    run = ["certify", model, "--data", data, "--project", str(folder), "--name", name]
    return main([*run, *args])


def merge(folder: Path, name: str, *args: str) -> int:
    """`lipdeploy certify --merge`; the exit code."""
    return main(["certify", "--merge", "--project", str(folder), "--name", name, *args])


def written(folder: Path) -> list[bytes]:
    """The bytes of what a run writes."""
    return [(folder / name).read_bytes() for name in FILES]


def metrics_of(folder: Path) -> dict[str, Any]:
    """metrics.json."""
    found: dict[str, Any] = json.loads((folder / "metrics.json").read_text())
    return found


def rows_of(path: Path) -> list[dict[str, str]]:
    """A CSV file."""
    return list(csv.DictReader(path.read_text().splitlines()))
