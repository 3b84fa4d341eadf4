"""Frames on which an engine rounds badly: a seeded hill climb on its error against float64.

A black box of the engine that is deployed: no gradients, no torch. It finds frames worse than
random ones; it does not find the worst, which is why level `statistical` is no more than that.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Frame = npt.NDArray[np.uint8]
ErrorMap = npt.NDArray[np.float64]

_LEVELS = (1, 2, 8, 64)  # sizes of a step in grey levels
_REACH = 12  # pixels around the worst one that a local step moves


def climb(
    frame: Frame, error: Callable[[Frame], ErrorMap], steps: int, seed: int
) -> tuple[Frame, float]:
    """The worst frame found near `frame`, and its largest error.

    Steps alternate between random signs on every value and a few coordinates around the pixel that
    is worst so far.

    Args:
        frame: where to start, shape (H, W, 3).
        error: error of each pixel of a frame, shape (H, W).
        steps: how many neighbours to try.
        seed: of the neighbours.
    """
    rng = np.random.default_rng((seed, steps))
    best, errors = frame, error(frame)
    for step in range(steps):
        worst = np.unravel_index(int(errors.argmax()), errors.shape)
        moved = _everywhere(best, rng) if step % 2 == 0 else _around(best, worst, rng)
        found = error(moved)
        if found.max() > errors.max():
            best, errors = moved, found
    return best, float(errors.max())


def _everywhere(frame: Frame, rng: np.random.Generator) -> Frame:
    signs = rng.choice((-1, 1), frame.shape)
    return _clipped(frame + signs * rng.choice(_LEVELS))


def _around(frame: Frame, worst: tuple[np.intp, ...], rng: np.random.Generator) -> Frame:
    y, x = (max(0, int(place) - _REACH) for place in worst)
    window = (slice(y, y + 2 * _REACH + 1), slice(x, x + 2 * _REACH + 1))
    moved = frame.astype(np.int64)
    chosen = rng.random(moved[window].shape) < rng.choice((0.02, 0.2, 1.0))
    shift = rng.integers(-64, 65, chosen.shape)
    moved[window] += np.where(chosen, shift, 0)
    return _clipped(moved)


def _clipped(values: npt.NDArray[np.int64]) -> Frame:
    return np.asarray(np.clip(values, 0, 255), np.uint8)
