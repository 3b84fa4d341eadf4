"""Frames that waited in a buffer are old, however quickly they were read from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np
import pytest

from lipdeploy.core.errors import SourceError
from lipdeploy.runtime.sources.capture_clock import CaptureClock
from lipdeploy.runtime.sources.network import open_network

PERIOD_S, WAY_S = 0.05, 0.03


def link(
    captures_s: Iterator[float] | list[float], blocked: Callable[[float], float]
) -> Iterator[tuple[float, float]]:
    """Capture and arrival of each frame; `blocked` tells when a frame that arrives gets through."""
    for captured_s in captures_s:
        yield captured_s, blocked(captured_s + WAY_S)


def errors_s(
    frames: Iterator[tuple[float, float]], began_s: float, rate: float = 1.0
) -> list[float]:
    """Told minus true time of capture; the camera's clock has its own zero and rate."""
    clock = CaptureClock(began_s)
    return [
        clock.captured_s(arrived_s, (captured_s - 5) * rate + 5000) - captured_s
        for captured_s, arrived_s in frames
    ]


def test_after_a_stall_each_frame_is_as_old_as_it_is() -> None:
    """A second and a half without anything, then all of it at once."""
    captures = [10 + PERIOD_S * k for k in range(200)]
    frames = link(captures, lambda at_s: 14.5 if 13.0 < at_s < 14.5 else at_s)
    told = errors_s(frames, began_s=9.99)
    assert max(abs(error) for error in told[1:]) < WAY_S + 0.01, "its way cannot be seen"


def test_what_was_buffered_while_connecting_is_not_taken_for_new() -> None:
    captures = [10 + PERIOD_S * k for k in range(100)]
    told = errors_s(link(captures, lambda at_s: max(at_s, 11.0)), began_s=9.9)
    assert all(error <= 0 for error in told[:20]), "never younger than it is"
    assert max(abs(error) for error in told[25:]) < WAY_S + 0.01


@pytest.mark.parametrize("rate", [1 - 3e-4, 1 + 3e-4])
def test_clocks_that_drift_apart_for_a_day(rate: float) -> None:
    captures = [10.0 * k for k in range(8640)]
    told = errors_s(link(captures, lambda at_s: at_s), began_s=-0.1, rate=rate)
    assert max(abs(error) for error in told[1:]) < 0.1


@pytest.mark.parametrize("stamp_s", [lambda at_s: 0.0, lambda at_s: at_s % 3.0])
def test_stamps_that_stand_still_or_begin_again_do_not_hold_frames_back(
    stamp_s: Callable[[float], float],
) -> None:
    clock = CaptureClock(9.9)
    arrivals = [10 + PERIOD_S * k for k in range(200)]
    told = [clock.captured_s(at_s, stamp_s(at_s)) for at_s in arrivals]
    assert np.allclose(told[1:], arrivals[1:], atol=0.01)
    assert all(one <= other for one, other in pairwise(told))


def test_an_unknown_clock_is_refused() -> None:
    with pytest.raises(SourceError, match=r"rtsp://u:\*\*\*@h/x.*expected stream or arrival"):
        open_network("rtsp://u:p@h/x?timestamps=never")
