"""Labels against regions found and budgets summed by hand; the colour scale and its bar."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import pytest

from lipdeploy.runtime.budget_labels import Label, budget_text, place_labels
from lipdeploy.runtime.colour_bar import axis_end, bar_height, draw_bar, ticks
from lipdeploy.runtime.heat import Heat, Scale, heat_colours, scale_for
from lipdeploy.runtime.lettering import Style, styles
from lipdeploy.runtime.overlay import budget_labels
from lipdeploy.runtime.regions import RegionMap, find_regions

SIZE = (48, 64)
PICTURE = (480, 640)
ROWS = (70, 400)


def patches(seed: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
    """A few large rectangles with speckles, and random radii."""
    rng = np.random.default_rng(seed)
    mask = np.zeros(SIZE, np.uint8)
    for k in range(5):
        y, x = rng.integers(0, 40), rng.integers(0, 50)
        mask[y : y + rng.integers(4, 30), x : x + rng.integers(4, 40)] = k % 3 + 1
    mask[rng.random(SIZE) < 0.002] = 3
    return mask, (rng.random(SIZE) * 0.05).astype(np.float32)


def flooded(mask: npt.NDArray[np.uint8], seed: tuple[int, int]) -> set[tuple[int, int]]:
    """Pixels of one class that hang together with `seed`, by neighbours."""
    seen, todo = {seed}, [seed]
    while todo:
        y, x = todo.pop()
        for at in ((y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)):
            inside = 0 <= at[0] < mask.shape[0] and 0 <= at[1] < mask.shape[1]
            if inside and at not in seen and mask[at] == mask[seed]:
                seen.add(at)
                todo.append(at)
    return seen


def covered(label: Label) -> set[tuple[int, int]]:
    """Pixels of the network that a label lies on."""
    x, y, wide, high = label.box
    down, across = PICTURE[0] // SIZE[0], PICTURE[1] // SIZE[1]
    return {(r // down, c // across) for r in range(y, y + high) for c in range(x, x + wide)}


def labels_of(found: RegionMap) -> list[Label]:
    picture = np.zeros((*PICTURE, 3), np.uint8)
    return budget_labels(found, picture, ROWS, styles(480)[1])


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("keep", [0.9, 0.5])
def test_a_label_lies_in_its_region_and_says_its_budget(seed: int, keep: float) -> None:
    mask, radius = patches(seed)
    labels = labels_of(find_regions(mask, radius, 0.25, keep))
    assert labels
    taken: set[tuple[int, int]] = set()
    for label in labels:
        below = covered(label)
        region = flooded(mask, min(below))
        assert below <= region
        assert not below & taken
        taken |= below
        assert ROWS[0] <= label.box[1]
        assert label.box[1] + label.box[3] <= ROWS[1]
        needed = math.floor((1 - Fraction(str(keep))) * len(region)) + 1
        costs = sorted(float(radius[at]) ** 2 for at in region)
        least = math.sqrt(math.fsum(costs[:needed]))
        said = float(label.text.removeprefix("eps "))
        assert said <= least < said + 0.0101


def test_no_region_goes_without_a_label_that_has_room() -> None:
    mask = np.zeros(SIZE, np.uint8)
    mask[:, 32:] = 1
    mask[20:23, 40:60] = 2  # too low for the text
    found = find_regions(mask, np.ones(SIZE, np.float32), 0.25)
    assert {found.regions[label.region].class_id for label in labels_of(found)} == {0, 1}


def test_at_most_twelve_labels() -> None:
    mask = (np.indices((80, 80)) // 16).sum(axis=0).astype(np.uint8) % 2
    found = find_regions(mask, np.ones(mask.shape, np.float32), 0.25)
    texts = dict.fromkeys(range(len(found.regions)), "eps 1.00")
    assert len(place_labels(found, texts, (1600, 1600), (0, 1600), Style(16))) == 12


def test_a_budget_is_rounded_down() -> None:
    assert budget_text(0.4399999) == "eps 0.43"
    assert budget_text(0.0) == "eps 0.00"
    assert budget_text(math.inf) == "any eps"


def test_a_colour_never_stands_for_more_than_the_value() -> None:
    rng = np.random.default_rng(2)
    values = np.concatenate([rng.random(5000) * 0.3, np.arange(255) * 0.3 / 254, [np.inf, 7.0]])
    scale = Scale(0.3)
    codes = scale.codes(values[np.newaxis])[0].astype(np.float64)
    assert ((codes - 1) / 254 * 0.3 <= values + 1e-8).all()
    usual = np.isfinite(values) & (values <= 0.3)
    assert (np.abs((codes - 1) / 254 * 0.3 - values)[usual & (values > 0)] <= 0.3 / 253).all()
    assert (codes[-2:] == 255).all()
    assert scale.codes(np.array([[0.0, np.nan, 1e-9]])).tolist() == [[0, 0, 1]]


@pytest.mark.parametrize(("value", "top"), [(0.17, 0.2), (0.2, 0.2), (1.01, 1.5), (95.0, 100.0)])
def test_the_scale_ends_on_a_round_number(value: float, top: float) -> None:
    assert scale_for(value).top == pytest.approx(top)
    assert scale_for(0.0).top == scale_for(math.inf).top == 1.0


def test_the_scale_of_a_stream_only_grows() -> None:
    heat, image = Heat(), np.zeros((8, 8, 3), np.uint8)
    tops = []
    for value in (0.099, 0.05, np.inf, 0.29, 0.1):
        heat.blend(image, np.full((4, 4), value, np.float32))
        tops.append(heat.scale.top)
    assert tops == pytest.approx([0.1, 0.1, 0.1, 0.3, 0.3])


@pytest.mark.parametrize("eps", [0.0, 0.05, 0.25, 9.0])
def test_the_bar_marks_eps_at_its_place(eps: float) -> None:
    style, scale, width = Style(16), Scale(0.2), 300
    bar = np.full((bar_height(style), width, 3), 127, np.uint8)
    draw_bar(bar, (0, 0), width, scale, heat_colours(), eps, style)
    end = axis_end(scale, eps)
    assert end >= eps or eps > 3 * scale.top
    row = bar[style.line + 10]
    place = round(min(eps / end, 1) * (width - 1))
    assert (row[place] == 0).all()
    for value in (0.04, 0.11, 0.19):
        at = int(value / end * width)
        expected = heat_colours()[scale.codes(np.array([[value]]))[0, 0]].astype(int)
        assert np.abs(row[at].astype(int) - expected).max() <= 12
    assert ticks(scale, end)[0] == 0
    assert ticks(scale, end)[-1] == pytest.approx(end, abs=0.1)
