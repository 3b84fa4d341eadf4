"""Faults of a live scene: they end when they should, and a link that broke comes back."""

from __future__ import annotations

import pytest

from lipdeploy.core.errors import SourceError, SourceLostError
from lipdeploy.runtime.sources import Frame, open_source, states_of
from lipdeploy.runtime.sources.fault import Fault, parse_faults
from lipdeploy.runtime.sources.scene import LiveScene

LIVE = "test://scene?seed=3&size=64x48&fps=20&live=1"


def opened(query: str) -> LiveScene:
    source = open_source(LIVE + query)
    assert isinstance(source, LiveScene)
    return source


def test_grammar_of_ends() -> None:
    assert parse_faults("freeze@1s+0.5s,black@500ms-2s,drop@3") == (
        Fault("freeze", 1.0, 1.5),
        Fault("black", 0.5, 2.0),
        Fault("drop", 3.0, float("inf")),
    )


@pytest.mark.parametrize("fault", ["freeze@2s-1s", "freeze@1s-1s", "freeze@1s+0s"])
def test_a_fault_that_ends_before_it_begins(fault: str) -> None:
    with pytest.raises(SourceError, match="ends before it begins"):
        parse_faults(fault)


def test_a_plus_in_the_address_is_a_plus() -> None:
    frames = list(open_source("test://scene?size=64x48&fps=10&duration=1s&fault=drop@0.2s+0.4s"))
    assert [f.index for f in frames] == [0, 1, 2, 4, 6, 7, 8, 9]


def test_disconnect_with_an_end_reconnects_and_measures_the_outage() -> None:
    source = opened("&duration=2s&fault=disconnect@0.5s%2B0.5s")
    frames = list(source)
    times = [f.time_ms for f in frames]
    assert not [t for t in times if 500 <= t < 1000]
    assert times[-1] >= 1000
    gap = next(i for i in range(1, len(times)) if times[i] >= 1000 > times[i - 1])
    assert frames[gap].index - frames[gap - 1].index >= 10  # lost frames are a gap
    state = source.state()
    assert (state.status, state.reconnects, state.last_error) == ("ended", 1, "broke off")
    assert state.down_s == pytest.approx(
        frames[gap].captured_s - frames[gap - 1].captured_s, abs=1e-6
    )
    assert state.down_s >= 0.5


def test_disconnect_without_end_is_lost() -> None:
    source = opened("&duration=9s&fault=disconnect@0.3s")
    frames: list[Frame] = []
    with pytest.raises(SourceLostError, match="broke off after"):
        frames.extend(source)
    assert 1 <= len(frames) <= 6
    assert states_of(source)[0].status == "lost"


def test_the_first_connection_waits_for_the_link() -> None:
    source = opened("&duration=1s&fault=disconnect@0s-0.3s")
    assert source.state().status == "connecting"
    frames = list(source)
    assert frames[0].time_ms >= 300
    assert source.state().reconnects == 0


def test_the_bound_of_the_address_holds() -> None:
    with pytest.raises(SourceError, match="cannot be opened in 3 tries"):
        opened("&duration=60s&fault=disconnect@0s-50s&reconnect=2")


def test_hang_is_detected_and_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lipdeploy.runtime.sources.live._GRACE_S", 0.1)
    source = opened("&duration=2s&fault=hang@0.3s-1.2s&read_timeout=0.2s&reconnect_for=10s")
    times = [f.time_ms for f in source]
    assert not [t for t in times if 300 <= t < 1200]
    assert times[-1] >= 1200
    assert source.state().reconnects >= 1
    assert source.state().last_error == "delivered nothing for 0.2 s"


def test_hang_needs_a_live_scene() -> None:
    with pytest.raises(SourceError, match="fault hang without live=1"):
        open_source("test://scene?fault=hang@1s")


def test_closing_a_live_scene_ends_it() -> None:
    source = opened("&duration=60s")
    iterator = iter(source)
    next(iterator)
    source.close()
    assert list(iterator) == []
