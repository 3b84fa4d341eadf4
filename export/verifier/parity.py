"""How far the engine that runs is from float64, on frames of many kinds."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lipdeploy.samples.scene import SMALLEST, render

Frame = npt.NDArray[np.uint8]
Logits = Callable[[Frame], npt.NDArray[np.floating]]

SIGMAS = 8.0
STATISTICAL_FRAMES = 1000


@dataclass(frozen=True)
class Parity:
    """Errors of logit differences over all frames and pixels.

    Attributes:
        frames: frames compared.
        attacked: how many of them were adversarial.
        largest: largest error of a difference of two logits of one pixel.
        sigma: root mean square error of a logit.
        scale: largest absolute logit seen.
    """

    frames: int
    attacked: int
    largest: float
    sigma: float
    scale: float

    @property
    def slack(self) -> float:
        """D for level `statistical`."""
        return statistical_slack(self.largest, self.sigma)


def statistical_slack(largest: float, sigma: float) -> float:
    """The largest error seen, or 8 sqrt(2) sigma if that is more (contract, section 2)."""
    return max(largest, SIGMAS * math.sqrt(2.0) * sigma)


def measure(engine: Logits, reference: Logits, frames: Iterable[tuple[Frame, bool]]) -> Parity:
    """Compare an engine with float64 on (frame, attacked) pairs."""
    count = attacked = values = 0
    largest = squares = scale = 0.0
    for frame, is_attacked in frames:
        exact = reference(frame)
        error = np.asarray(engine(frame), np.float64) - exact
        if not np.isfinite(error).all():
            return Parity(count + 1, attacked, math.inf, math.inf, math.inf)
        largest = max(largest, float((error.max(0) - error.min(0)).max()))
        squares += float(np.square(error).sum())
        scale = max(scale, float(np.abs(exact).max()))
        count, attacked, values = count + 1, attacked + is_attacked, values + error.size
    return Parity(count, attacked, largest, math.sqrt(squares / max(values, 1)), scale)


def synthetic_frames(count: int, height: int, width: int, seed: int = 0) -> Iterator[Frame]:
    """Scenes, noise, smooth colours, checkerboards and constants, in turn."""
    kinds = (_scene, _noise, _scene, _smooth, _scene, _extremes)
    for index in range(count):
        rng = np.random.default_rng((seed, index))
        yield kinds[index % len(kinds)](rng, height, width)


def _scene(rng: np.random.Generator, height: int, width: int) -> Frame:
    if min(height, width) < SMALLEST:  # below, a scene has nothing to show
        return _smooth(rng, height, width)
    return render(int(rng.integers(2**31)), float(rng.uniform(0, 20)), height, width).image


def _noise(rng: np.random.Generator, height: int, width: int) -> Frame:
    return rng.integers(0, 256, (height, width, 3), np.uint8)


def _smooth(rng: np.random.Generator, height: int, width: int) -> Frame:
    y, x = np.mgrid[0:height, 0:width]
    waves = rng.uniform(-8, 8, (3, 2)) / np.array([height, width])
    phase = rng.uniform(0, 2 * np.pi, 3)
    field = [
        np.sin(2 * np.pi * (a * y + b * x) + p) for (a, b), p in zip(waves, phase, strict=True)
    ]
    return np.asarray((np.stack(field, -1) * 127.5 + 127.5).round(), np.uint8)


def _extremes(rng: np.random.Generator, height: int, width: int) -> Frame:
    cell = int(rng.integers(1, 17))
    y, x = np.mgrid[0:height, 0:width]
    low, high = rng.integers(0, 256, (2, 3))
    even = ((y // cell) + (x // cell)) % 2 == 0
    return np.asarray(np.where(even[..., None], low, high), np.uint8)


def interleaved(
    clean: Sequence[Frame] | Iterator[Frame], attack: Callable[[Frame], Frame] | None, every: int
) -> Iterator[tuple[Frame, bool]]:
    """Clean frames, with every `every`-th replaced by its attacked form."""
    for index, frame in enumerate(clean):
        if attack is not None and index % every == every - 1:
            yield attack(frame), True
        else:
            yield frame, False
