"""One shared sort against every question asked on its own."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lipdeploy.core.class_iou import iou_frontier, pixelwise_class_iou
from lipdeploy.core.objectives import (
    budget_for_accuracy,
    budget_for_fnr,
    correct_radii,
    kept_share,
    stability50,
    worst_fnr,
)
from lipdeploy.core.ranking import rank

PIXEL = st.tuples(
    st.sampled_from([0, 1, 2, 255]),
    st.integers(0, 2),
    st.integers(0, 12).map(lambda k: k / 8) | st.just(np.inf) | st.just(np.nan),
)
EPS = np.array([0.0, 0.125, 0.5, 1.0, 3.0])


def arrays(pixels: list[tuple[int, int, float]]) -> tuple[npt.NDArray[Any], ...]:
    truth, predicted, radius = (np.array(column) for column in zip(*pixels, strict=True))
    return truth, predicted, radius.astype(np.float32)


@settings(max_examples=400, deadline=None)
@given(st.lists(PIXEL, min_size=1, max_size=12))
def test_every_question_as_on_its_own(pixels: list[tuple[int, int, float]]) -> None:
    truth, predicted, radius = arrays(pixels)
    ranking = rank(truth, predicted, radius)
    known = truth != 255
    sound = np.fmax(radius[known].astype(np.float64), 0.0)
    correct = correct_radii(sound, predicted[known], truth[known])
    assert np.array_equal(kept_share(ranking.stability(), EPS), kept_share(sound, EPS))
    assert np.array_equal(kept_share(ranking.accuracy(), EPS), kept_share(correct, EPS))
    assert stability50(ranking.stability()) == stability50(sound)
    assert budget_for_accuracy(ranking.accuracy(), 0.7) == budget_for_accuracy(correct, 0.7)
    for k in range(3):
        own = correct[truth[known] == k]
        assert np.array_equal(worst_fnr(ranking.class_accuracy(k), EPS), worst_fnr(own, EPS))
        assert budget_for_fnr(ranking.class_accuracy(k), 0.85) == budget_for_fnr(own, 0.85)
        costs = ranking.class_iou(k)
        for eps, found in zip(EPS, costs.frontiers(EPS.tolist()), strict=True):
            leave = np.fmax(radius.astype(np.float64), 0.0)
            alone = iou_frontier(truth, predicted, leave, leave, k, float(eps))
            assert (found.hits, found.union) == (alone.hits, alone.union)
            assert found.lost.tolist() == alone.lost.tolist()
            assert found.gained.tolist() == alone.gained.tolist()
            pixelwise = pixelwise_class_iou(truth, predicted, leave, leave, k, float(eps))
            assert costs.pixelwise(float(eps)) == pytest.approx(pixelwise, nan_ok=True)


def test_nothing_labelled_one_class_and_one_pixel() -> None:
    none = rank(np.full((2, 2), 255), np.zeros((2, 2), int), np.ones((2, 2)))
    assert none.accuracy().size == 0
    assert float(kept_share(none.accuracy(), 1.0)) == 1.0
    one = rank(np.zeros((1, 1), int), np.zeros((1, 1), int), np.full((1, 1), 0.5))
    assert float(kept_share(one.accuracy(), 0.4)) == 1.0
    assert float(kept_share(one.accuracy(), 0.5)) == 0.0
    assert one.class_accuracy(3).size == 0
    assert np.isnan(one.class_iou(3).frontiers([0.4])[0].worst())
    assert one.class_iou(3).frontiers([0.5])[0].worst() == 0.0  # the pixel may join class 3
