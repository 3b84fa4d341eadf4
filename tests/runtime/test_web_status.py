"""Figures of the live page, against brute force."""

from __future__ import annotations

import itertools
import json

import numpy as np
import numpy.typing as npt
import pytest

from lipdeploy.core.errors import InputError
from lipdeploy.core.manifest import LEVEL_MEANING
from lipdeploy.runtime.controls import Controls
from lipdeploy.runtime.regions import find_regions
from lipdeploy.runtime.result import Result
from lipdeploy.runtime.session import Prediction
from lipdeploy.runtime.sources.frame import Frame
from lipdeploy.runtime.web.class_shares import class_shares
from lipdeploy.runtime.web.history import SECONDS, History
from lipdeploy.runtime.web.page_status import MEANING, page_status
from tests.runtime.page_feed import NAMES, Context, make_result


def brute_force_kept(radii: list[float], eps: float) -> float:
    """Of all sets of pixels that the budget can pay for, what the largest leaves."""
    most = max(
        size
        for size in range(len(radii) + 1)
        for chosen in itertools.combinations(radii, size)
        if sum(r * r for r in chosen) <= eps * eps
    )
    return 1 - most / len(radii)


@pytest.mark.parametrize("seed", range(8))
def test_class_shares_are_those_of_the_best_attack_on_each_class(seed: int) -> None:
    random = np.random.default_rng(seed)
    mask: npt.NDArray[np.uint8] = random.integers(0, 3, (3, 4)).astype(np.uint8)
    radius = (random.integers(0, 9, (3, 4)) / 16).astype(np.float32)  # squares are exact
    eps = float(random.integers(1, 9) / 8)
    frame = Frame(np.zeros((3, 4, 3), np.uint8), 0, 0.0, 0.0, "0")
    result = Result(frame, "ok", "", eps, None, "proved")
    result.prediction = Prediction(mask, radius, np.zeros(1, np.float32))
    result.regions = find_regions(mask, radius, eps)
    shares = {one.name: one for one in class_shares(result, NAMES)}
    assert set(shares) == {NAMES[k] for k in np.unique(mask)}
    for k in np.unique(mask).tolist():
        kept = shares[NAMES[k]].kept
        assert kept is not None
        assert kept == pytest.approx(brute_force_kept(radius[mask == k].tolist(), eps), abs=1e-12)
        assert shares[NAMES[k]].area == (mask == k).mean()


def test_largest_class_first_and_colours_of_the_overlay() -> None:
    shares = class_shares(make_result(), NAMES)
    assert [one.name for one in shares] == ["road", "sky", "background"]
    assert [one.colour for one in shares] == ["#7e6bc4", "#54a8f0", ""]


def test_nothing_is_claimed_of_classes_without_a_level_or_of_a_withheld_frame() -> None:
    assert class_shares(make_result(reason="frozen"), NAMES) == []
    unverified = class_shares(make_result(level="none"), NAMES)
    assert len(unverified) == 3
    assert all(one.kept is None and one.kept_percent is None for one in unverified)


def test_percent_is_rounded_down() -> None:
    [road, *_] = class_shares(make_result(), NAMES)
    assert road.kept is not None
    assert road.kept_percent is not None
    assert float(road.kept_percent) <= 100 * road.kept < float(road.kept_percent) + 0.1


def test_status_of_a_good_frame() -> None:
    result = make_result(3, 0.125)
    fields = page_status(Context(), result, 0.02, 5.0)
    assert (fields["state"], fields["level"], fields["eps"]) == ("ok", "statistical", 0.125)
    assert fields["eps_set"] == 0.25
    assert fields["certified_share"] == result.certified_share
    assert fields["network"] == [24, 32]
    assert fields["sinks"][1]["error"] == "disk full"
    json.dumps(fields, allow_nan=False)


@pytest.mark.parametrize("why", ["frame", "stream", "no frame", "old frame"])
def test_no_figure_without_a_good_frame_and_a_good_stream(why: str) -> None:
    context = Context()
    if why == "stream":
        context.state, context.reason = "waiting", "reconnecting"
    result = None if why == "no frame" else make_result(reason="black" if why == "frame" else "")
    fields = page_status(context, result, 1.5 if why == "old frame" else 0.02, 5.0)
    assert fields["state"] != "ok"
    assert fields["reason"]
    assert fields["certified_share"] is fields["certified_percent"] is None
    assert fields["classes"] == []


def test_a_page_without_status_or_controls_says_what_it_knows() -> None:
    class Bare:
        class_names = NAMES
        status = None
        controls = None

    fields = page_status(Bare(), make_result(), 0.0, 7.0)
    assert fields["eps_set"] is None
    assert fields["uptime_s"] == 7.0
    assert fields["certified_percent"] is not None
    assert fields["sources"] == []


def test_every_level_has_a_sentence() -> None:
    assert set(MEANING) == set(LEVEL_MEANING)


def test_history_keeps_the_worst_of_each_second() -> None:
    history = History()
    good, worse = make_result(0, 0.125), make_result(4, 0.25)
    assert good.certified_share is not None
    assert worse.certified_share is not None
    assert worse.certified_share < good.certified_share
    for result in (good, worse, good):
        history.add(result)
    history.end_second(1.0, 5)
    history.add(good)
    history.add(make_result(reason="frozen"))
    history.add(good)
    history.end_second(2.0, 7)
    history.end_second(3.0, 7)
    first, second, third = history.samples
    assert (first.frames, first.share, first.latency_ms) == (3, worse.certified_share, 16.0)
    assert (first.withheld, first.dropped) == (False, 5)
    assert (second.share, second.withheld, second.dropped) == (None, True, 2)
    assert (third.frames, third.share, third.latency_ms, third.dropped) == (0, None, None, 0)


def test_a_placeholder_is_no_frame_of_the_curves() -> None:
    history, silence = History(), make_result(reason="no frame")
    silence.placeholder, silence.latency_ms = True, 4000.0
    history.add(make_result(0))
    history.add(silence)
    history.end_second(1.0, 0)
    history.add(silence)
    history.end_second(2.0, 0)
    first, second = history.samples
    assert (first.frames, first.share, first.withheld) == (1, None, True)
    assert first.latency_ms == make_result(0).latency_ms
    assert (second.frames, second.share, second.latency_ms, second.withheld) == (
        0,
        None,
        None,
        True,
    )


def test_history_is_bounded() -> None:
    history = History()
    for second in range(2 * SECONDS):
        history.end_second(float(second), None)
    assert len(history.samples) == SECONDS
    assert history.samples[-1].at_s == 2 * SECONDS - 1
    assert history.samples[-1].dropped is None


def test_controls() -> None:
    controls = Controls(0.25)
    controls.set_eps(1)
    assert controls.eps == 1.0
    for wrong in (-0.1, float("nan"), float("inf")):
        with pytest.raises(InputError, match="eps is"):
            controls.set_eps(wrong)
    assert controls.eps == 1.0
