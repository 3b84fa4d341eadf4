"""`test://scene`: the same frames for the same seed, pacing, and every fault at its time."""

from __future__ import annotations

import time

import numpy as np
import pytest

from lipdeploy.core.errors import SourceLostError
from lipdeploy.runtime.freshness import Freshness
from lipdeploy.runtime.sources import Frame, open_source
from lipdeploy.runtime.sources.fault import Fault, parse_faults

BASE = "test://scene?seed=3&duration=1s&size=64x48&fps=10"


def frames(query: str = "") -> list[Frame]:
    return list(open_source(BASE + query))


def test_frames_are_reproducible_and_labelled() -> None:
    one, two = frames(), frames()
    assert len(one) == 10
    assert [f.time_ms for f in one] == pytest.approx([100 * i for i in range(10)])
    for a, b in zip(one, two, strict=True):
        assert np.array_equal(a.image, b.image)
        assert a.labels is not None
        assert a.labels.shape == a.image.shape[:2] == (48, 64)
    assert not np.array_equal(one[0].image, one[1].image)


def reasons(query: str) -> list[str]:
    source = open_source(BASE + query)
    fresh = Freshness(source.live, source.still)
    return [fresh.fault(frame) for frame in source]


def test_without_fault_nothing_is_withheld() -> None:
    assert reasons("") == [""] * 10


def test_freeze() -> None:
    assert reasons("&fault=freeze@500ms") == [""] * 5 + ["frozen"] * 5


def test_black() -> None:
    assert reasons("&fault=black@0.5s") == [""] * 5 + ["black"] * 5


def test_black_for_a_while() -> None:
    assert reasons("&fault=black@0.2s-0.4s") == [""] * 2 + ["black"] * 2 + [""] * 6


def test_corrupt_changes_pixels_and_says_so() -> None:
    assert reasons("&fault=corrupt@0.5s") == [""] * 5 + ["corrupt"] * 5
    clean, broken = frames()[5].image, frames("&fault=corrupt@0.5s")[5].image
    assert 0.1 < (clean != broken).any(2).mean() < 0.5


def test_drop_leaves_gaps() -> None:
    assert [f.index for f in frames("&fault=drop@0.5s")] == [0, 1, 2, 3, 4, 6, 8]


def test_resize() -> None:
    shapes = [f.image.shape for f in frames("&fault=resize@0.5s")]
    assert shapes == [(48, 64, 3)] * 5 + [(24, 32, 3)] * 5


def test_disconnect() -> None:
    got: list[Frame] = []
    with pytest.raises(SourceLostError, match=r"disconnected at 0\.5 s after 5 frames"):
        got.extend(open_source(BASE + "&fault=disconnect@0.5s"))
    assert len(got) == 5


def test_slow_is_late_when_live() -> None:
    source = open_source("test://scene?duration=2s&size=64x48&fps=10&fault=slow@0.2s&live=1")
    slow = [time.monotonic() - f.captured_s for f in source if f.time_ms >= 200]
    assert slow
    assert min(slow) >= 1.0  # beyond any reasonable staleness budget


def test_two_faults() -> None:
    query = "&fault=black@0.1s-0.3s,freeze@0.5s"
    assert reasons(query) == [
        "",
        "black",
        "black",
        "",
        "",
        "frozen",
        "frozen",
        "frozen",
        "frozen",
        "frozen",
    ]


def test_live_is_paced() -> None:
    start_s = time.monotonic()
    live = frames("&live=1")
    assert time.monotonic() - start_s >= 0.8
    assert np.diff([f.captured_s for f in live]).sum() >= 0.07 * (live[-1].index - live[0].index)


def test_grammar() -> None:
    assert parse_faults("freeze@1s,black@500ms-2s") == (
        Fault("freeze", 1.0, float("inf")),
        Fault("black", 0.5, 2.0),
    )
