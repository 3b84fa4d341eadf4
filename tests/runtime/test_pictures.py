"""The pages, read back from their pixels and words, against attacks found by hand."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import pytest

from lipdeploy.core.errors import InputError
from lipdeploy.core.manifest import Level, Manifest, Numerics
from lipdeploy.core.objectives import vanishing_pixels
from lipdeploy.runtime.page import magnification
from lipdeploy.runtime.picture_case import Case, foreground, map_colour
from lipdeploy.runtime.picture_fnr import FALSE_NEGATIVE, FALSE_POSITIVE, LOST, lost_pixels
from lipdeploy.runtime.picture_vanishing import vanishing_budgets
from lipdeploy.runtime.pictures import certificate_pictures
from lipdeploy.runtime.regions import find_regions
from lipdeploy.runtime.session import Prediction

NAMES = ("background", "polyp", "tool")
Mask = npt.NDArray[np.uint8]
Picture = npt.NDArray[np.uint8]


def manifest(
    size: tuple[int, int], level: Level = "statistical", names: tuple[str, ...] = NAMES
) -> Manifest:
    numerics = Numerics("float32", 0.0, level)
    return Manifest(names, *size, "threshold", 1, 1.0, (), 1.0, numerics, "0")


def case(seed: int, size: tuple[int, int] = (12, 16), eps: float = 0.25) -> Case:
    rng = np.random.default_rng(seed)
    truth = np.zeros(size, np.uint8)
    truth[2:9, 3:12] = 1
    truth[0] = 255
    mask = np.roll(truth, (1, 2), (0, 1)) % 255
    radius = (rng.random(size) * 0.15).astype(np.float32)
    image = rng.integers(0, 256, (*size, 3)).astype(np.uint8)
    return Case(image, truth, mask.astype(np.uint8), radius, manifest(size), eps, 0.9, 1)


def pages_of(c: Case) -> dict[str, Picture]:
    prediction = Prediction(c.mask, c.radius, np.zeros(1, np.float32))
    return certificate_pictures(c.image, c.truth, prediction, c.manifest, c.eps, c.keep, c.class_id)


def cheapest(costs: Iterable[float], eps: float) -> int:
    """How many costs a budget buys, cheapest first."""
    count, spent = 0, 0.0
    for cost in sorted(costs):
        spent += cost * cost
        if spent > eps * eps:
            break
        count += 1
    return count


def pixels_of(page: Picture, colour: tuple[int, int, int]) -> int:
    return int((page == np.asarray(colour)).all(axis=-1).sum())


@pytest.fixture
def words(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """All that is written."""
    said: list[str] = []

    def note(image: Picture, text: str, *rest: object) -> None:
        said.append(text)

    for module in ("page", "budget_labels", "colour_bar"):
        monkeypatch.setattr(f"lipdeploy.runtime.{module}.write", note)
    return said


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("eps", [0.0, 0.1, 0.25, 0.6, 9.0])
def test_the_worst_case_flips_as_many_as_the_greedy_attack(seed: int, eps: float) -> None:
    c = case(seed, eps=eps)
    lost = lost_pixels(c)
    labelled = [tuple(at) for at in np.argwhere(c.labelled)]
    missed = [at for at in labelled if c.mask[at] != 1]
    kept = [float(c.radius[at]) for at in labelled if c.mask[at] == 1]
    assert lost.sum() == len(missed) + cheapest(kept, eps)
    assert not lost[~c.labelled].any()
    assert all(lost[at] for at in missed)
    flipped = [float(c.radius[at]) for at in labelled if lost[at] and at not in missed]
    assert sorted(flipped) == sorted(kept)[: len(flipped)]
    predicted = [float(r) for r in c.radius[c.mask == 1]]
    assert vanishing_pixels(c.mask, c.radius, c.class_id, c.eps).sum() == cheapest(predicted, eps)
    assert not vanishing_pixels(c.mask, c.radius, c.class_id, c.eps)[c.mask != 1].any()


def test_no_attack_of_any_kind_takes_more() -> None:
    c = case(7, (12, 16), 0.2)
    few = c.mask.copy()
    few[:], few[5, 4:14] = 0, 1
    c = Case(c.image, c.truth, few, c.radius, c.manifest, 0.2, 0.9, 1)
    costs = c.radius[5, 4:14].astype(np.float64) ** 2
    largest = max(
        n
        for n in range(11)
        if any(sum(some) <= 0.04 for some in itertools.combinations(costs.tolist(), n))
    )
    assert vanishing_pixels(c.mask, c.radius, c.class_id, c.eps).sum() == largest
    found = find_regions(few, c.radius, 0.2, min_area=1)
    (budget,) = vanishing_budgets(c, found).values()
    nine = min(math.sqrt(sum(some)) for some in itertools.combinations(costs.tolist(), 9))
    assert nine * (1 - 1e-6) < budget <= nine


@pytest.mark.parametrize("area", [1, 5, 10, 11, 20])
def test_ninety_percent_is_rounded_up_to_whole_pixels(area: int) -> None:
    mask = np.zeros((4, 24), np.uint8)
    mask[1, :area] = 1
    radius = np.full(mask.shape, 0.5, np.float32)
    image = np.zeros((*mask.shape, 3), np.uint8)
    c = Case(image, None, mask, radius, manifest((4, 24)), 0.2, 0.5, 1)
    (budget,) = vanishing_budgets(c, find_regions(mask, radius, 0.2, min_area=1)).values()
    assert (budget / 0.5) ** 2 == pytest.approx(-(-area * 9 // 10), rel=1e-6)


def test_the_fnr_page_shows_each_kind_of_pixel(words: list[str]) -> None:
    c = case(1)
    k = magnification(12, 16) ** 2
    assert c.truth is not None
    lost = int((lost_pixels(c) & (c.mask == 1)).sum())
    one, none = pages_of(c)["worst_fnr"], pages_of(case(1, eps=0.0))["worst_fnr"]
    assert pixels_of(one, LOST) - pixels_of(none, LOST) == lost * k > 0
    missed = int(((c.truth == 1) & (c.mask != 1)).sum())
    wrong = int(((c.truth != 1) & (c.truth != 255) & (c.mask == 1)).sum())
    for colour, count in ((FALSE_NEGATIVE, missed), (FALSE_POSITIVE, wrong)):
        swatches = pixels_of(one, colour) - 2 * count * k
        assert 0 < swatches < k, "both maps show it, and the keys"
    said = next(text for text in words if text.startswith("worst FNR <= "))
    worst = (missed + lost) / 63
    assert worst <= float(said.split()[3]) < worst + 1.1e-4


def test_the_regions_page_leaves_white_what_has_no_guarantee() -> None:
    c = case(2, eps=0.02)
    found = find_regions(c.mask, c.radius, c.eps, min_area=1)
    stable = {r.class_id: r.area for r in found.regions if r.stable}
    assert stable
    k = magnification(12, 16) ** 2
    page = pages_of(c)["regions"]
    for class_id, area in stable.items():
        assert 0 < pixels_of(page, map_colour(NAMES[class_id])) - area * k < k
    nothing = pages_of(case(2, eps=99.0))["regions"]
    assert all(pixels_of(nothing, map_colour(name)) == 0 for name in NAMES)


def test_budgets_in_words_are_never_above_the_bound(words: list[str]) -> None:
    c = case(8)
    found = find_regions(c.mask, c.radius, c.eps, min_area=1)
    pages_of(c)
    (budget,) = vanishing_budgets(c, found).values()
    said = next(text for text in " ".join(words).split("; ") if "pixels, eps " in text)
    figure = float(said.split("pixels, eps ")[1].split()[0].rstrip("."))
    assert figure <= budget < figure + 0.00101
    labels = sorted(
        float(text[4:]) for text in words if text.startswith("eps 0.") and len(text) < 9
    )
    change = sorted([*(region.budget for region in found.regions), budget, c.eps])
    assert labels, "the regions are large enough for a label"
    for label in labels:
        assert any(label <= bound < label + 0.0101 for bound in change)


def test_every_page_names_budget_and_level(words: list[str]) -> None:
    for name, page in pages_of(case(3)).items():
        assert page.dtype == np.uint8, name
    text = " ".join(words)
    assert text.count("level statistical: rounding measured, not bounded") == 3
    assert text.count("eps 0.25: l2 norm over the whole RGB frame") == 3
    assert "eps to change 90 % or more of a region" in text
    assert "NOT VERIFIED" not in text


def test_a_model_that_is_not_verified_claims_nothing(words: list[str]) -> None:
    c = case(3)
    pages = pages_of(Case(**{**vars(c), "manifest": manifest((12, 16), "none")}))
    text = " ".join(words)
    assert text.count("NOT VERIFIED: nothing is claimed") == 3
    assert "eps 0.0" not in text, "no budget on a region"
    assert "worst FNR <= 1.0000" in text
    assert "At least 0.0 % of the class is left" in text
    assert all(pixels_of(pages["regions"], map_colour(name)) == 0 for name in NAMES)


def test_without_labels_there_is_no_fnr() -> None:
    c = case(4)
    assert set(pages_of(c)) == {"regions", "worst_fnr", "vanishing"}
    assert set(pages_of(Case(**{**vars(c), "truth": None}))) == {"regions", "vanishing"}


def test_an_absent_class_is_said(words: list[str]) -> None:
    pages_of(Case(**{**vars(case(5)), "class_id": 2}))
    text = " ".join(words)
    assert text.count("No pixel is labelled tool: there is no FNR.") == 2
    assert "No pixel is predicted as tool: nothing can vanish." in text


@pytest.mark.parametrize("size", [(1, 1), (6, 8), (20, 300), (300, 20), (500, 700)])
@pytest.mark.parametrize("value", [0.0, 0.3, math.inf])
def test_every_size_and_radius(size: tuple[int, int], value: float) -> None:
    mask = np.zeros(size, np.uint8)
    mask[size[0] // 2 :] = 1
    image = np.zeros((*size, 3), np.uint8)
    prediction = Prediction(mask, np.full(size, value, np.float32), np.zeros(1, np.float32))
    pages = certificate_pictures(image, mask, prediction, manifest(size), 0.0)
    for page in pages.values():
        assert min(page.shape[:2]) >= 240
        assert (page[0] == 255).all()
        assert (page[:, -1] == 255).all(), "nothing is cut off at the right"
    one = manifest(size, names=("everything",))
    plain = Prediction(np.zeros_like(mask), prediction.radius, prediction.flips)
    assert certificate_pictures(image, plain.mask, plain, one, 0.1)


def test_the_foreground_class() -> None:
    truth = np.array([[0, 0, 0, 2, 2, 1, 255, 255, 255]], np.uint8)
    assert foreground(NAMES, truth, truth * 0) == 2
    assert foreground(NAMES, truth * 0, np.ones_like(truth)) == 1
    assert foreground(NAMES, None, truth) == 2
    assert foreground(("only",), truth * 0, truth * 0) == 0
    assert foreground(("cat", "void"), None, truth * 0) == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"eps": math.nan}, "eps is nan"),
        ({"keep": 0.0}, "keep is 0.0; expected a share above 0"),
        ({"class_id": 3}, "class is 3; expected 0 to 2"),
        ({"truth": np.zeros((3, 3), np.uint8)}, r"truth is \(3, 3\); expected \(12, 16\)"),
        ({"image": np.zeros((12, 16), np.uint8)}, r"image is uint8 \(12, 16\); expected uint8"),
    ],
)
def test_what_does_not_fit_is_named(change: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        pages_of(Case(**{**vars(case(6)), **change}))
