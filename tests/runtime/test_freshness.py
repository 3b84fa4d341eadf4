"""Frames that must not be trusted, and those that may."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest

from lipdeploy.runtime.freshness import Freshness, is_black
from lipdeploy.runtime.sources.frame import Frame


def frame(image: npt.NDArray[np.uint8], captured_s: float = 0.0, damaged: str = "") -> Frame:
    return Frame(image, 0, 0.0, captured_s, "0", damaged)


def noise(seed: int, top: int = 255) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, top + 1, (48, 64, 3), np.uint8)


def recorded(image: npt.NDArray[np.uint8], time_ms: float) -> Frame:
    return Frame(image, 0, time_ms, 0.0, "0")


@pytest.mark.parametrize("live", [True, False])
def test_no_repeat_of_a_camera_is_trusted(live: bool) -> None:
    fresh = Freshness(live=live, still=False)
    reasons = [fresh.fault(frame(noise(seed))) for seed in (0, 1, 1, 1, 1, 2, 2, 3)]
    assert reasons == ["", "", "frozen", "frozen", "frozen", "", "frozen", ""]


def test_buffers_that_come_round_again_are_repeated() -> None:
    fresh = Freshness(live=True, still=False)
    seeds = [0, 1, 2, 0, 1, 2, 3, 2]
    reasons = [fresh.fault(frame(noise(seed))) for seed in seeds]
    assert reasons == ["", "", ""] + ["repeated"] * 3 + ["", "repeated"]


def test_memory_of_repeats_is_bounded() -> None:
    fresh = Freshness(live=True, still=False)
    assert [fresh.fault(frame(noise(seed))) for seed in [*range(70), 0, 69]][-2:] == [
        "",
        "repeated",
    ]


def test_cameras_are_judged_one_by_one() -> None:
    @dataclass(frozen=True)
    class Sourced(Frame):
        source_id: str = ""

    fresh = Freshness(live=True, still=False)
    frames = [Sourced(noise(1), 0, 0.0, 0.0, "0", source_id=name) for name in ("a", "b", "a")]
    assert [fresh.fault(one) for one in frames] == ["", "", "frozen"]


def test_a_recording_may_repeat_as_long_as_the_budget() -> None:
    """Telecine repeats every fourth picture; a recording that stands still for longer is frozen."""
    fresh = Freshness(live=False, still=False, max_staleness_s=0.5, recorded=True)
    telecined = [fresh.fault(recorded(noise(k * 4 // 5), k * 40.0)) for k in range(50)]
    assert telecined == [""] * 50
    frozen = [fresh.fault(recorded(noise(99), 2000.0 + k * 100.0)) for k in range(9)]
    assert frozen == [""] * 6 + ["frozen"] * 3
    assert fresh.fault(recorded(noise(100), 3000.0)) == ""


def test_a_live_source_is_never_a_recording() -> None:
    fresh = Freshness(live=True, still=False, recorded=True)
    assert [fresh.fault(recorded(noise(1), 0.0)) for _ in range(2)] == ["", "frozen"]


def test_allow_still_allows_repeats_and_nothing_else() -> None:
    fresh = Freshness(live=True, still=False, allow_still=True)
    assert [fresh.fault(frame(noise(1))) for _ in range(3)] == [""] * 3
    assert fresh.fault(frame(np.zeros((48, 64, 3), np.uint8))) == "black"
    assert fresh.fault(frame(np.full((48, 64, 3), 130, np.uint8))) == "uniform"
    assert fresh.stale(frame(noise(1), captured_s=1.0), 2.0) == "stale"


@pytest.mark.parametrize("rows", [slice(24, 48), slice(0, 24), slice(12, 18)])
def test_a_frozen_band_is_found(rows: slice) -> None:
    fresh, before, image = Freshness(live=True, still=False), noise(0), noise(1)
    image[rows] = before[rows]
    assert [fresh.fault(frame(before)), fresh.fault(frame(image))] == ["", "partly frozen"]


def test_flat_and_small_repeats_are_honest() -> None:
    """Black bars, an overexposed sky, a clock of a few rows."""
    fresh, reasons = Freshness(live=True, still=False), []
    for seed in range(4):
        image = noise(seed)
        image[:12], image[42:] = 255, 0
        image[20:24] = noise(9)[:4]
        reasons.append(fresh.fault(frame(image)))
    assert reasons == [""] * 4


def test_uniform_with_the_noise_of_a_sensor() -> None:
    grey = (128 + np.random.default_rng(0).normal(0, 1, (480, 640, 3))).astype(np.uint8)
    assert Freshness(live=True, still=False).fault(frame(grey)) == "uniform"
    grey[100:180, 200:240] = 60  # someone stands in the fog
    assert Freshness(live=True, still=False).fault(frame(grey)) == ""


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


def test_a_time_of_capture_that_cannot_be_is_stale() -> None:
    fresh = Freshness(live=True, still=False)
    assert fresh.stale(frame(noise(1), captured_s=float("nan")), 5.0) == "stale"
    assert fresh.stale(frame(noise(1), captured_s=9.0), 5.0) == "stale"


def test_change_of_size_is_not_frozen() -> None:
    fresh = Freshness(live=True, still=False)
    images = [noise(1), noise(1)[:24], noise(1)[:24, :32], noise(2)]
    assert not any(fresh.fault(frame(image)) for image in images)
