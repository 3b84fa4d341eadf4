"""Without the compiled core everything works, by NumPy and OpenCV."""

from __future__ import annotations

import math
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lipdeploy.core import certificate, class_iou, compiled, segments
from lipdeploy.core.histogram import count_flips_upper

IMPORT_WITHOUT = """
import sys
sys.modules["lipdeploy._native"] = None    # importing it raises ImportError
from lipdeploy.core.compiled import COMPILED
from lipdeploy.runtime.regions import find_regions
print(COMPILED)
"""

RADIUS = np.array([[0.1, 0.2, 0.3], [0.5, 0.5, np.inf]], np.float32)
MASK = np.array([[0, 0, 1], [1, 1, 1]], np.uint8)


def test_imports_without_the_module() -> None:
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_WITHOUT], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "False\n"), done.stderr


def test_the_references_take_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "COMPILED", False)
    needed = np.array([1, 2])
    eps = np.array([0.15, 0.4, 9.0])
    assert np.array_equal(compiled.count_flips(RADIUS, eps), certificate.count_flips(RADIUS, eps))
    assert np.array_equal(compiled.count_flips_upper(RADIUS, eps), count_flips_upper(RADIUS, eps))
    found = compiled.certify_segments(MASK, RADIUS, 0.4, needed)
    expected = segments.certify_segments(MASK, RADIUS, 0.4, needed)
    assert np.array_equal(found.budget, expected.budget)
    frontier = compiled.iou_frontier(MASK, MASK, RADIUS, RADIUS, 1, 0.4)
    assert frontier.worst() == class_iou.worst_class_iou(MASK, MASK, RADIUS, RADIUS, 1, 0.4)
    assert compiled.label_regions(MASK, 3).area.tolist() == [4]
    assert compiled.cheapest_first(RADIUS).tolist() == [0, 1, 2, 3, 4, 5]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.floats(0, width=32) | st.floats(0, 1, width=32), max_size=10),
    st.floats(0, 4) | st.floats(0, allow_nan=False),
)
def test_the_histogram_is_never_below_the_count(radii: list[float], eps: float) -> None:
    radius = np.array(radii, np.float32)
    total, flips = Fraction(0), 0
    for r in sorted(r for r in radii if r < math.inf):
        total += Fraction(r) ** 2
        flips += eps == math.inf or total <= Fraction(eps) ** 2
    assert flips <= int(count_flips_upper(radius, eps)) <= np.isfinite(radius).sum()


def test_the_histogram_is_close() -> None:
    radius = np.random.default_rng(0).exponential(0.05, 100_000).astype(np.float32)
    total = np.cumsum(np.sort(np.square(radius.astype(np.float64))))
    eps = np.array([0.1, 0.5, 2.0])
    exact = np.searchsorted(total, eps**2, side="right")
    surplus = count_flips_upper(radius, eps) - exact
    assert (surplus >= 0).all()
    assert (surplus <= 0.004 * exact + 1).all()


def test_what_is_no_radius_counts_as_nothing_to_pay() -> None:
    radius = np.array([np.nan, -1.0, np.inf, 2.0, -0.0], np.float32)
    assert count_flips_upper(radius, np.array([0.0, 1.0, 2.0, math.inf, math.nan])).tolist() == [
        3,
        3,
        4,
        4,
        4,
    ]
