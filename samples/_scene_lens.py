"""Camera effects: exposure, colour response, softness, vignette and noise."""

from functools import lru_cache

import cv2
import numpy as np

from lipdeploy.samples._scene_canvas import Bytes
from lipdeploy.samples._scene_texture import grain, vignette
from lipdeploy.samples._scene_world import World


@lru_cache(maxsize=64)
def _response(exposure: float) -> Bytes:
    """Tone curve, shape (256,): gain with a soft shoulder instead of clipping."""
    level = np.arange(256) / 255.0 * exposure
    curve = level * (1.0 + 0.12 * level) / (1.0 + 0.17 * level**3)
    return np.clip(255.0 * curve, 0, 255).astype(np.uint8)


def exposed(image: Bytes, world: World, time_s: float, noise: bool) -> Bytes:
    """Turn the painted picture into a camera picture.

    Args:
        image: RGB picture, shape (H, W, 3).
        world: The world.
        time_s: Time in seconds; the noise changes with it.
        noise: Whether to add camera noise.

    Returns:
        RGB picture, shape (H, W, 3).
    """
    height, width = image.shape[:2]
    soft = cv2.GaussianBlur(image, (3, 3), 0.55)
    toned = cv2.LUT(soft, _response(world.light.exposure))
    result = cv2.multiply(toned, vignette(height, width), scale=1.0 / 255.0)
    if noise:
        bank = grain(height, width, world.light.noise)
        tick = int(time_s * 1000.0) + world.seed * 31
        row, column = (tick * 37) % 64, (tick * 53 // 7) % 64
        crop = bank[row : row + height, column : column + width]
        result = cv2.add(result, crop, dtype=cv2.CV_8U)
    return np.asarray(result, np.uint8)
