"""Frames that must not be trusted, and those that may."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lipdeploy.runtime.freshness import Freshness, is_black
from lipdeploy.runtime.sources.frame import Frame


def frame(image: npt.NDArray[np.uint8], captured_s: float = 0.0, damaged: str = "") -> Frame:
    return Frame(image, 0, 0.0, captured_s, "0", damaged)


def noise(seed: int, top: int = 255) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, top + 1, (48, 64, 3), np.uint8)


def test_one_repeat_is_tolerated_two_are_frozen() -> None:
    fresh = Freshness(live=True, still=False)
    reasons = [fresh.fault(frame(noise(seed))) for seed in (0, 1, 1, 1, 1, 2, 2, 3)]
    assert reasons == ["", "", "", "frozen", "frozen", "", "", ""]


def test_still_pictures_may_repeat_and_be_black() -> None:
    fresh = Freshness(live=False, still=True)
    assert [fresh.fault(frame(np.zeros((8, 8, 3), np.uint8))) for _ in range(4)] == [""] * 4


def test_black_with_noise_and_a_hot_pixel() -> None:
    dark = noise(0, top=10)
    assert is_black(dark)
    large = np.zeros((480, 640, 3), np.uint8)
    large[5, 5] = 255
    assert is_black(large)
    large[:40, :40] = 60
    assert not is_black(large)


def test_black_comes_before_frozen_and_damage_before_both() -> None:
    fresh = Freshness(live=False, still=False)
    black = np.zeros((8, 8, 3), np.uint8)
    assert [fresh.fault(frame(black)) for _ in range(3)] == ["black"] * 3
    assert fresh.fault(frame(black, damaged="corrupt")) == "corrupt"


def test_stale_only_when_live() -> None:
    old = frame(noise(0), captured_s=10.0)
    assert Freshness(live=True, still=False).stale(old, 10.6) == "stale"
    assert not Freshness(live=True, still=False).stale(old, 10.4)
    assert not Freshness(live=True, still=False, max_staleness_s=1.0).stale(old, 10.6)
    assert not Freshness(live=False, still=False).stale(old, 99.0)


def test_change_of_size_is_not_frozen() -> None:
    fresh = Freshness(live=False, still=False)
    sizes = [(8, 8), (8, 8), (4, 4), (8, 8)]
    assert not any(fresh.fault(frame(np.full((*s, 3), 99, np.uint8))) for s in sizes)
