"""A small data set on disk: noisy squares on a dark ground."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from lipdeploy.training.settings import Settings


def write_toy_data(folder: Path, train: int = 12, val: int = 3) -> Path:
    """Write images and masks of 32x32 and return the data set file."""
    rng = np.random.default_rng(0)
    for split, count in (("train", train), ("val", val)):
        for kind in ("images", "masks"):
            (folder / kind / split).mkdir(parents=True)
        for i in range(count):
            mask = np.zeros((32, 32), np.uint8)
            y, x = rng.integers(0, 20, 2)
            mask[y : y + 12, x : x + 12] = 1
            image = np.repeat(mask[..., None] * 150 + 50, 3, 2) + rng.integers(-20, 20, (32, 32, 3))
            cv2.imwrite(str(folder / f"images/{split}/{i}.png"), image.astype(np.uint8))
            mask[:i, :i] = 255  # as many labelled pixels in no two images
            cv2.imwrite(str(folder / f"masks/{split}/{i}.png"), mask)
    source = folder / "data.yaml"
    source.write_text(
        "path: .\ntrain: images/train\nval: images/val\nmasks_dir: masks\nnames: [ground, square]\n"
    )
    return source


def toy_settings(data: Path, folder: Path, **changes: object) -> Settings:
    """A run of two epochs of three steps."""
    folder.mkdir(exist_ok=True)
    chosen: dict[str, object] = {"imgsz": (32, 32), "epochs": 2, "batch": 4, **changes}
    return Settings(data=data, folder=folder, **chosen)  # type: ignore[arg-type]
