"""The pictures of a generated scene with the faults that lie in them."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from lipdeploy.runtime.sources.fault import corrupted
from lipdeploy.runtime.sources.scene_options import SceneOptions
from lipdeploy.samples import scene


@dataclass(frozen=True)
class Picture:
    """What a camera of the scene would see.

    Attributes:
        image: RGB, shape (H, W, 3), uint8.
        labels: class ids, shape (H, W), uint8.
        damaged: `corrupt` or empty.
    """

    image: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.uint8]
    damaged: str = ""


class Pictures:
    """Draws the pictures of one drive in order; a frozen one is the last that was drawn."""

    def __init__(self, options: SceneOptions) -> None:
        self._options = options
        self._last: Picture | None = None

    def prepare(self) -> None:
        """Build the world, which takes longer than a frame."""
        o = self._options
        scene.render(o.seed, 0.0, o.height, o.width)

    def at(self, index: int, active: AbstractSet[str]) -> Picture:
        """The picture at a position, with the faults of these kinds."""
        if "freeze" not in active or self._last is None:
            self._last = self._drawn(index, active)
        return self._last

    def _drawn(self, index: int, active: AbstractSet[str]) -> Picture:
        o = self._options
        drawn = scene.render(o.seed, index / o.fps, o.height, o.width)
        image: npt.NDArray[np.uint8] = drawn.image
        labels: npt.NDArray[np.uint8] = drawn.mask
        damaged = ""
        if "black" in active:
            image = np.zeros_like(image)
        if "corrupt" in active:
            image, damaged = corrupted(image, index), "corrupt"
        if "resize" in active:
            half = (max(1, o.width // 2), max(1, o.height // 2))
            image = np.asarray(cv2.resize(image, half, interpolation=cv2.INTER_AREA), np.uint8)
            labels = np.asarray(cv2.resize(labels, half, interpolation=cv2.INTER_NEAREST), np.uint8)
        return Picture(image, labels, damaged)
