"""Tileable noise textures, built once per process."""

from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from lipdeploy.samples._scene_canvas import Bytes

SIZE = 512  # rows and columns of every texture


def _octaves(seed: int, cells: tuple[int, ...], falloff: float) -> npt.NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    total = np.zeros((SIZE, SIZE), np.float32)
    for level, count in enumerate(cells):
        grid = rng.standard_normal((count, count)).astype(np.float32)
        padded = np.pad(grid, 2, mode="wrap")
        step = SIZE // count
        big = cv2.resize(padded, None, fx=step, fy=step, interpolation=cv2.INTER_CUBIC)
        total += falloff**level * big[2 * step : -2 * step, 2 * step : -2 * step]
    return np.asarray(total / total.std(), np.float32)


def _as_bytes(values: npt.NDArray[np.float32], spread: float) -> Bytes:
    return np.asarray(np.clip(128.0 + spread * values, 0, 255).astype(np.uint8))


@lru_cache(maxsize=1)
def ground_texture() -> Bytes:
    """Grain of asphalt, stone and grass.

    Returns:
        Tileable texture, shape (512, 512), mean about 128.
    """
    return _as_bytes(_octaves(11, (8, 32, 128, 256), 0.9), 42.0)


@lru_cache(maxsize=1)
def cloud_texture() -> Bytes:
    """Cloud density.

    Returns:
        Tileable texture, shape (512, 512), mean about 128.
    """
    return _as_bytes(_octaves(12, (4, 8, 16, 32, 64), 0.58), 50.0)


@lru_cache(maxsize=8)
def grain(height: int, width: int, level: int) -> npt.NDArray[np.int16]:
    """Camera noise, larger than the picture so that crops differ.

    Args:
        height: Picture height in pixels.
        width: Picture width in pixels.
        level: Standard deviation in grey levels.

    Returns:
        Noise, shape (height + 64, width + 64, 3).
    """
    rng = np.random.default_rng(13)
    noise = rng.standard_normal((height + 64, width + 64, 3), np.float32)
    return np.rint(level * noise).astype(np.int16)


@lru_cache(maxsize=8)
def vignette(height: int, width: int) -> Bytes:
    """Brightness falloff of the lens.

    Args:
        height: Picture height in pixels.
        width: Picture width in pixels.

    Returns:
        Gain in 1/255, shape (height, width, 3).
    """
    rows = np.linspace(-1.0, 1.0, height)[:, None]
    columns = np.linspace(-1.0, 1.0, width)[None, :]
    gain = 255.0 * (1.0 - 0.13 * (0.7 * rows**2 + columns**2) ** 1.3)
    return np.repeat(np.clip(gain, 0, 255).astype(np.uint8)[..., None], 3, axis=2)
