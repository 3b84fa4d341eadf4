from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from lipdeploy.export.artefact import Description
from lipdeploy.export.sealing import sealed, write_verified
from tests.calibration.small_network import SIDE, arrays, frame, manifest, trunk


@pytest.fixture(scope="session")
def source_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A verified float32 file."""
    path = tmp_path_factory.mktemp("model") / "small.onnx"
    model = trunk(arrays())
    write_verified(sealed(model, manifest(model), Description(), False), path)
    return path


@pytest.fixture(scope="session")
def data_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve examples in `train`, three in `val`."""
    folder = tmp_path_factory.mktemp("data")
    for split, count in (("train", 12), ("val", 3)):
        for index in range(count):
            for kind in ("images", "masks"):
                (folder / kind / split).mkdir(parents=True, exist_ok=True)
            image = frame(index)
            mask = (image[..., 0] > np.median(image[..., 0])).astype(np.uint8)
            cv2.imwrite(str(folder / "images" / split / f"{index}.png"), image[..., ::-1])
            cv2.imwrite(str(folder / "masks" / split / f"{index}.png"), mask)
    assert image.shape == (SIDE, SIDE, 3)
    (folder / "data.yaml").write_text(
        "path: .\ntrain: images/train\nval: images/val\nmasks_dir: masks\n"
        "names: {0: left, 1: right}\n"
    )
    return folder / "data.yaml"
