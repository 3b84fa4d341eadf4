"""Small examples on disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from lipdeploy.core.dataset import Pair

SIDE = 24

MakePairs = Callable[[int], list[Pair]]


@pytest.fixture
def make_pairs(tmp_path: Path) -> MakePairs:
    """Writes so many random images with masks of the classes 0, 1, 2 and of ignored pixels."""

    def make(count: int) -> list[Pair]:
        rng, found = np.random.default_rng(0), []
        for i in range(count):
            pair = Pair(tmp_path / f"image_{i}.png", tmp_path / f"mask_{i}.png")
            image = rng.integers(0, 256, (SIDE, SIDE, 3)).astype(np.uint8)
            mask = rng.choice([0, 1, 2, 255], (SIDE, SIDE)).astype(np.uint8)
            assert cv2.imwrite(str(pair.image), image[..., ::-1])
            assert cv2.imwrite(str(pair.mask), mask)
            found.append(pair)
        return found

    return make
