"""What holds for many worlds and along one drive."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import numpy as np
import numpy.typing as npt
import pytest

from lipdeploy.samples.scene import CLASS_NAMES, Frame, render

HEIGHT, WIDTH = 64, 112
CAR, PERSON = CLASS_NAMES.index("car"), CLASS_NAMES.index("person")


def small(seed: int, time_s: float = 0.0, *, noise: bool = True) -> Frame:
    return render(seed, time_s, HEIGHT, WIDTH, noise=noise)


@pytest.fixture(scope="module")
def shares() -> npt.NDArray[np.float64]:
    """Share of every class in the pictures of 40 worlds, shape (40, K)."""
    counts = [np.bincount(small(s, 0.7 * s).mask.ravel(), minlength=7) for s in range(40)]
    return np.array(counts) / (HEIGHT * WIDTH)


def test_a_frame_does_not_depend_on_what_was_rendered_before() -> None:
    code = (
        "import hashlib; from lipdeploy.samples.scene import render; "
        f"f = render(5, 2.0, {HEIGHT}, {WIDTH}); "
        "print(hashlib.sha256(f.image.tobytes() + f.mask.tobytes()).hexdigest())"
    )
    fresh = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    small(5, 9.0)
    small(4, 2.0)
    frame = small(5, 2.0)
    here = hashlib.sha256(frame.image.tobytes() + frame.mask.tobytes()).hexdigest()
    assert here == fresh.stdout.strip()


@pytest.mark.parametrize("size", [(32, 32), (HEIGHT, WIDTH), (97, 51)])
@pytest.mark.parametrize("time_s", [-3.0, 0.0, 1e4])
def test_shapes_and_ranges(size: tuple[int, int], time_s: float) -> None:
    frame = render(7, time_s, *size)
    assert frame.image.shape == (*size, 3)
    assert frame.mask.shape == size
    assert frame.image.dtype == frame.mask.dtype == np.uint8
    assert frame.mask.max() < len(CLASS_NAMES)
    assert frame.image.flags.c_contiguous
    assert frame.mask.flags.c_contiguous


def test_every_class_occurs_within_20_seeds(shares: npt.NDArray[np.float64]) -> None:
    assert (shares[:20].max(axis=0) > 0).all()


def test_class_shares(shares: npt.NDArray[np.float64]) -> None:
    mean = shares.mean(axis=0)
    assert 0.05 < mean[CAR] < 0.15
    assert 0.01 < mean[PERSON] < 0.05
    assert mean.min() > 0.01


@pytest.mark.parametrize("seed", range(4))
def test_a_larger_picture_shows_the_same_scene(seed: int) -> None:
    small_mask = render(seed, 2.0, 128, 224).mask
    large = render(seed, 2.0, 256, 448).mask
    assert (large[::2, ::2] == small_mask).mean() >= 0.9


@pytest.mark.parametrize("seed", range(4))
def test_a_drive_is_continuous_and_moves(seed: int) -> None:
    start, soon, later = (small(seed, t, noise=False) for t in (2.0, 2.02, 4.0))
    assert (start.mask == soon.mask).mean() > 0.95
    assert (start.mask == later.mask).mean() < (start.mask == soon.mask).mean()
    step, way = (
        np.abs(start.image.astype(np.float64) - other.image).mean() for other in (soon, later)
    )
    assert 0.0 < step < way


@pytest.mark.parametrize("size", [(31, 64), (64, 31), (0, 0), (-64, 64)])
def test_a_small_size_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=r"at least 32x32 pixels, got ") as caught:
        render(0, 0.0, *size)
    assert f"{size[0]}x{size[1]}" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("time_s", [float("nan"), float("inf"), float("-inf")])
def test_a_time_that_is_no_number_is_refused(time_s: float) -> None:
    with pytest.raises(ValueError, match="finite number of seconds") as caught:
        small(0, time_s)
    assert "\n" not in str(caught.value)
