"""The place of a label against trying every box, and the compiled core against OpenCV."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lipdeploy.runtime import label_place
from lipdeploy.runtime.label_place import deepest_box, deepest_box_by_opencv

compiled = pytest.mark.skipif(
    not label_place.COMPILED, reason="lipdeploy._native was not built: no compiler at installation"
)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 4), st.integers(0, 4), st.floats(0.5, 1.0))
def test_a_box_is_found_exactly_where_one_fits(
    seed: int, half_high: int, half_wide: int, share: float
) -> None:
    rng = np.random.default_rng(seed)
    number = np.where(rng.random((20, 30)) < share, 4, 9).astype(np.int32)
    x, y = rng.integers(0, 10, 2).tolist()
    window = (x, y, int(rng.integers(0, 31 - x)), int(rng.integers(0, 21 - y)))
    box = (2 * half_high + 1, 2 * half_wide + 1)
    inside = number[y : y + window[3], x : x + window[2]] == 4
    centres = {
        (row, column)
        for row in range(half_high, inside.shape[0] - half_high)
        for column in range(half_wide, inside.shape[1] - half_wide)
        if inside[
            row - half_high : row + half_high + 1, column - half_wide : column + half_wide + 1
        ].all()
    }
    found = deepest_box(number, 4, window, box)
    assert found == deepest_box_by_opencv(number, 4, window, box)
    assert found in centres if centres else found is None


@compiled
def test_large_regions_as_opencv_places_them() -> None:
    """Distances beyond 256 pixels, where float32 no longer holds every sum."""
    number = np.zeros((620, 900), np.int32)
    number[:3] = 1
    number[600:, 500:] = 1
    for k in (0, 1):
        assert deepest_box(number, k, (0, 0, 900, 620), (5, 31)) == deepest_box_by_opencv(
            number, k, (0, 0, 900, 620), (5, 31)
        )


@compiled
def test_the_window_stays_in_the_image() -> None:
    number = np.zeros((4, 4), np.int32)
    with pytest.raises(ValueError, match="window inside the image"):
        deepest_box(number, 0, (2, 0, 3, 4), (1, 1))
    with pytest.raises(ValueError, match="odd sides"):
        deepest_box(number, 0, (0, 0, 4, 4), (2, 1))
