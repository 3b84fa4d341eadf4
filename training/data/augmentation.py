"""Random crop, flip and rotation of an image with its mask (paper, App. F), and jitter."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from lipdeploy.core.dataset import IGNORE

Image = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Augmentation:
    """One affine warp per example: scale, shift, rotation and mirror in a single interpolation.

    Attributes:
        flip: probability of a left-right mirror.
        flip_vertical: probability of a top-bottom mirror (right for endoscopy, wrong for roads).
        rotate_degrees: largest rotation either way.
        scale: range of the zoom; above 1 crops, below 1 pads with the ignored label.
        brightness: largest shift of all channels either way, as a share of the full range.
        contrast: largest relative change of the distance from mid grey either way.
    """

    flip: float = 0.5
    flip_vertical: float = 0.0
    rotate_degrees: float = 10.0
    scale: tuple[float, float] = (0.9, 1.5)
    brightness: float = 0.0
    contrast: float = 0.0

    def __call__(self, image: Image, mask: Image, rng: np.random.Generator) -> tuple[Image, Image]:
        """Warp both; shapes (H, W, 3) and (H, W) are kept.

        What the warp brings in from outside is ignored in the mask and mirrored in the image.
        """
        matrix = self.matrix(mask.shape[0], mask.shape[1], rng)
        size = (mask.shape[1], mask.shape[0])
        warped = cv2.warpAffine(
            image, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
        )
        labels = cv2.warpAffine(
            mask, matrix, size, flags=cv2.INTER_NEAREST, borderValue=(IGNORE,) * 4
        )
        return self._jittered(np.asarray(warped, np.uint8), rng), np.asarray(labels, np.uint8)

    def _jittered(self, image: Image, rng: np.random.Generator) -> Image:
        """One table for all pixels; without jitter nothing is drawn and the image is kept."""
        if not (self.brightness or self.contrast):
            return image
        gain = 1 + rng.uniform(-self.contrast, self.contrast)
        shift = 255 * rng.uniform(-self.brightness, self.brightness)
        levels = (np.arange(256) - 127.5) * gain + 127.5 + shift
        table = np.clip(np.rint(levels), 0, 255).astype(np.uint8)
        return np.asarray(table[image], np.uint8)

    def matrix(self, height: int, width: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:
        """The map from (x, y, 1) in the source to (x, y) in the result, shape (2, 3)."""
        zoom = rng.uniform(*self.scale)
        angle = np.deg2rad(rng.uniform(-self.rotate_degrees, self.rotate_degrees))
        mirror = np.array(
            [-1 if rng.random() < self.flip else 1, -1 if rng.random() < self.flip_vertical else 1]
        )
        rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        linear = zoom * rotation * mirror
        center = np.array([width - 1, height - 1]) / 2
        slack = abs(zoom - 1) * center
        shift = center - linear @ center + rng.uniform(-slack, slack)
        return np.column_stack([linear, shift])
