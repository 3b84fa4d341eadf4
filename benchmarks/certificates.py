"""What the compiled core costs beside one sort and one cumulative sum.

Prints, for each distribution of radii at 1024x1024, medians of processor time in turns on one
thread and their ratios to np.sort + np.cumsum of the squared radii in float64: what Eq. 11 costs
as the paper states it. Also how much the histogram overstates the count.

    python benchmarks/certificates.py [--side 1024] [--rounds 15]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from lipdeploy.core import compiled
from lipdeploy.runtime.regions import find_regions

EPS = 0.25
CURVE = np.linspace(0.005, 5.0, 1000)
CLASSES = 19
SEED = 0
BASE = "np.sort + np.cumsum, float64"

Mask = npt.NDArray[np.uint8]
Radius = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Frame:
    """A prediction with its radii and labels, shape (H, W) each."""

    mask: Mask
    radius: Radius
    truth: Mask


def smooth(rng: np.random.Generator, side: int, sigma: float) -> npt.NDArray[np.float32]:
    """Gaussian field of mean 0 and variance 1, correlated over about `sigma` pixels."""
    field = cv2.GaussianBlur(rng.standard_normal((side, side)).astype(np.float32), (0, 0), sigma)
    return np.asarray((field - field.mean()) / field.std(), np.float32)


def flecked(rng: np.random.Generator, mask: Mask, share: float) -> Mask:
    """The mask with a share of its pixels replaced at random."""
    noise = rng.integers(0, CLASSES, mask.shape).astype(np.uint8)
    return np.where(rng.random(mask.shape) < share, noise, mask)


def smooth_mask(rng: np.random.Generator, side: int) -> Mask:
    """Hundreds of regions of 19 classes."""
    level = smooth(rng, side, side / 60)
    return np.digitize(level, np.quantile(level, np.linspace(0, 1, CLASSES + 1)[1:-1])).astype(
        np.uint8
    )


def frames(side: int) -> dict[str, Frame]:
    """The distributions, from usual to hard."""
    rng = np.random.default_rng(SEED)
    mask = flecked(rng, smooth_mask(rng, side), 0.002)
    truth = flecked(rng, mask, 0.1)
    lognormal = np.exp(-3.0 + smooth(rng, side, side / 100)).astype(np.float32)
    noise = rng.integers(0, CLASSES, (side, side)).astype(np.uint8)
    below = rng.uniform(0.0, EPS, (side, side)).astype(np.float32)
    exponential = rng.exponential(0.05, (side, side)).astype(np.float32)
    tied = np.full((side, side), EPS / 64, np.float32)
    return {
        "smooth lognormal radii, median 0.05; smooth mask with flecks": Frame(
            mask, lognormal, truth
        ),
        "independent exponential radii, mean 0.05; smooth mask": Frame(mask, exponential, truth),
        "independent uniform radii, all <= eps; noise mask": Frame(noise, below, truth),
        "all radii equal, eps a tie; noise mask": Frame(noise, tied, truth),
    }


def sort_and_sum(radius: Radius) -> npt.NDArray[np.float64]:
    """Eq. 11 as it is written."""
    return np.cumsum(np.sort(np.square(radius.ravel().astype(np.float64))))


def contestants(frame: Frame) -> dict[str, Callable[[], object]]:
    """What is measured on one frame."""
    mask, radius, truth = frame.mask, frame.radius, frame.truth
    far = np.linspace(0, np.sqrt(np.square(radius.astype(np.float64)).sum()), CURVE.size)
    return {
        BASE: lambda: sort_and_sum(radius),
        "flips, one eps, exact": lambda: compiled.count_flips(radius, EPS),
        "flips, one eps, upper bound by histogram": lambda: compiled.count_flips_upper(radius, EPS),
        f"flips, {CURVE.size} eps, exact": lambda: compiled.count_flips(radius, CURVE),
        f"flips, {CURVE.size} eps up to all pixels": lambda: compiled.count_flips(radius, far),
        "region labels": lambda: compiled.label_regions(mask, 16),
        "all regions: labels, budgets, flips, class shares": lambda: find_regions(
            mask, radius, EPS
        ),
        "worst IoU frontier of one class": lambda: compiled.iou_frontier(
            truth, mask, radius, radius, 7, EPS
        ),
        "order of the pixels by radius": lambda: compiled.cheapest_first(radius),
    }


def medians_ms(found: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median time of each contestant, taken in turns so that all see the same machine."""
    times: dict[str, list[float]] = {name: [] for name in found}
    for _ in range(rounds):
        for name, call in found.items():
            start = time.thread_time()
            call()
            times[name].append((time.thread_time() - start) * 1e3)
    return {name: statistics.median(values) for name, values in times.items()}


def vector_instructions() -> str:
    """What NumPy's sort may use on this machine."""
    from numpy._core._multiarray_umath import __cpu_features__ as features

    known = ("AVX512_SKX", "AVX2", "ASIMD", "SSE42")
    return ", ".join(name for name in known if features.get(name)) or "none"


def report(name: str, frame: Frame, rounds: int) -> None:
    """Measure one frame and print."""
    regions = find_regions(frame.mask, frame.radius, EPS)
    exact = compiled.count_flips(frame.radius, EPS)
    surplus = compiled.count_flips_upper(frame.radius, EPS) - exact
    print(f"\n{name}")
    print(
        f"  eps {EPS}: {exact} flips, histogram {surplus} more; "
        f"{len(regions.regions)} regions, {regions.tiny_count} tiny"
    )
    found = medians_ms(contestants(frame), rounds)
    for contestant, value in found.items():
        print(f"  {contestant:52} {value:8.2f} ms   {value / found[BASE]:6.3f} x sort")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    core = "compiled" if compiled.COMPILED else "NumPy only: lipdeploy._native was not built"
    print(f"core: {core}; NumPy {np.__version__} found {vector_instructions()}")
    print(f"{options.side}x{options.side}, one thread, {options.rounds} rounds in turns")
    for name, frame in frames(options.side).items():
        report(name, frame, options.rounds)


if __name__ == "__main__":
    main()
