"""What the overlay shows, read back from its pixels and its words."""

from __future__ import annotations

import itertools

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from lipdeploy.core.errors import InputError
from lipdeploy.core.manifest import LEVEL_MEANING, LEVELS, Level, Manifest, Numerics
from lipdeploy.runtime.lettering import styles, wrapped
from lipdeploy.runtime.overlay import Overlay, enlarged
from lipdeploy.runtime.palette import class_colour
from lipdeploy.runtime.regions import find_regions
from lipdeploy.runtime.result import Result, State
from lipdeploy.runtime.session import Prediction
from lipdeploy.runtime.sources.frame import Frame
from lipdeploy.runtime.views import VIEWS, View, checked_view
from lipdeploy.runtime.wording import GREY, Wording, kept_percent

NAMES = ("background", "road", "person")
HEIGHT, WIDTH = 24, 32


def manifest(level: Level = "statistical", names: tuple[str, ...] = NAMES) -> Manifest:
    numerics = Numerics("float32", 0.0, level)
    return Manifest(names, HEIGHT, WIDTH, "threshold", 1, 1.0, (), 1.0, numerics, "0")


def result(
    mask: npt.NDArray[np.uint8],
    radius: npt.NDArray[np.float32],
    level: Level = "statistical",
    state: State = "ok",
    size: tuple[int, int] = (480, 640),
) -> Result:
    image = np.full((*size, 3), 100, np.uint8)
    made = Result(Frame(image, 0, 0.0, 0.0, "0"), state, "", 0.25, None, level)
    if state == "ok":
        made.prediction = Prediction(mask, radius, np.zeros(1, np.float32))
        made.regions = None if level == "none" else find_regions(mask, radius, 0.25)
    return made


def halves() -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
    """Left half road and stable, right half person and not."""
    mask = np.full((HEIGHT, WIDTH), 1, np.uint8)
    mask[:, WIDTH // 2 :] = 2
    return mask, np.where(mask == 1, np.float32(1), np.float32(0))


def colours(image: npt.NDArray[np.uint8]) -> set[tuple[int, ...]]:
    return {tuple(c) for c in np.unique(image.reshape(-1, 3), axis=0).tolist()}


def test_stable_is_one_solid_colour_and_the_rest_is_hatched() -> None:
    made = result(*halves())
    painted = Overlay(manifest(), 0.9).paint(made.frame.image, made)
    solid, hatched = colours(painted[:, :300]), colours(painted[:, 340:])
    assert len(solid) == 1
    assert len(hatched) == 2
    road = np.asarray(class_colour("road"))
    np.testing.assert_allclose(solid.pop(), 100 + 0.6 * (road - 100.0), atol=2)


def test_contour_between_stable_and_not() -> None:
    made = result(*halves())
    painted = Overlay(manifest(), 0.9).paint(made.frame.image, made)
    assert painted[:, 319:321].min() > 200


def test_nothing_is_solid_without_a_claim() -> None:
    mask, radius = halves()
    made = result(mask, radius, "none")
    painted = Overlay(manifest("none"), 0.9).paint(made.frame.image, made)
    assert len(colours(painted[:, :300])) == 2
    withheld = result(mask, radius, state="withheld")
    grey = Overlay(manifest(), 0.9).paint(withheld.frame.image, withheld)
    assert (grey == grey[..., :1]).all()


def test_background_is_left_alone_where_it_is_stable() -> None:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    made = result(mask, np.ones((HEIGHT, WIDTH), np.float32))
    painted = Overlay(manifest(), 0.9).paint(made.frame.image, made)
    assert np.array_equal(painted, made.frame.image)


def test_pixels_are_solid_exactly_where_their_own_radius_exceeds_eps() -> None:
    rng = np.random.default_rng(0)
    mask = rng.integers(1, 3, (HEIGHT, WIDTH)).astype(np.uint8)
    radius = rng.choice(np.array([0, 0.1, 0.25, 0.26, 3], np.float32), mask.shape)
    made = result(mask, radius)
    painted = Overlay(manifest(), 0.9, "pixels").paint(made.frame.image, made)
    blocks = painted.reshape(HEIGHT, 20, WIDTH, 20, 3)
    colour = np.array([class_colour(name) for name in NAMES], np.float64)[mask]
    solid = np.abs(blocks - (40 + 0.6 * colour)[:, None, :, None]).max(axis=(1, 3, 4)) <= 2
    assert np.array_equal(solid, radius > 0.25), "a radius of exactly eps is no guarantee"
    assert made.pixelwise_share == solid.mean()


def test_radii_are_coloured_exactly_where_they_exceed_nought() -> None:
    rng = np.random.default_rng(1)
    mask, _ = halves()
    radius = rng.choice(np.array([0, 1e-4, 0.05, 0.1, 0.199], np.float32), mask.shape)
    made = result(mask, radius)
    painted = Overlay(manifest(), 0.9, "radius").paint(made.frame.image, made)
    blocks = painted.reshape(HEIGHT, 20, WIDTH, 20, 3)
    assert (np.ptp(blocks, axis=(1, 3)) == 0).all()
    small = blocks[:, 0, :, 0].astype(np.float64)
    grey = (small == 100).all(axis=-1)
    assert np.array_equal(grey, radius == 0)
    code = np.round(radius / 0.2 * 255).astype(np.uint8)
    viridis = cv2.applyColorMap(code, cv2.COLORMAP_VIRIDIS)[..., ::-1]
    assert np.abs(small - (0.8 * viridis + 20))[~grey].max() <= 4


@pytest.mark.parametrize("view", VIEWS)
def test_no_view_colours_a_withheld_frame(view: View) -> None:
    made = result(*halves(), state="withheld")
    grey = Overlay(manifest(), 0.9, view).paint(made.frame.image, made)
    assert (grey == grey[..., :1]).all()


def test_no_radius_is_coloured_without_a_claim() -> None:
    made = result(*halves(), level="none")
    picture = Overlay(manifest("none"), 0.9, "radius").draw(made, 1.0)
    assert (picture[150:400] == 100).all()
    words = Wording(manifest("none"), 0.9, "radius")
    assert words.entries(made) == [(GREY, "no radius is claimed")]


def test_budgets_are_written_where_they_are_claimed_and_nowhere_else() -> None:
    made = result(*halves())
    shown = Overlay(manifest(), 0.9)
    assert (shown.draw(made, 1.0) != shown.paint(made.frame.image, made))[150:400].any()
    for level, view in [("none", "regions"), ("statistical", "pixels")]:
        made = result(*halves(), level=level)  # type: ignore[arg-type]
        bare = Overlay(manifest(level), 0.9, view)  # type: ignore[arg-type]
        assert (bare.draw(made, 1.0) == bare.paint(made.frame.image, made))[150:400].all()


def test_many_classes() -> None:
    names = tuple(f"class {k}" for k in range(150))
    mask = (np.arange(HEIGHT * WIDTH) // 5 % 150).astype(np.uint8).reshape(HEIGHT, WIDTH)
    made = result(mask, np.ones((HEIGHT, WIDTH), np.float32))
    picture = Overlay(manifest(names=names), 0.9).draw(made, 30.0)
    assert picture.shape == (480, 640, 3)


@pytest.mark.parametrize("size", [(240, 320), (360, 640), (64, 48), (20, 400), (1080, 1920)])
@pytest.mark.parametrize("state", ["ok", "withheld"])
@pytest.mark.parametrize("view", VIEWS)
def test_every_size(size: tuple[int, int], state: State, view: View) -> None:
    made = result(*halves(), state=state, size=size)
    before = made.frame.image.copy()
    picture = Overlay(manifest(), 0.9, view).draw(made, 12.0)
    assert min(picture.shape[:2]) == max(480, min(size))
    assert picture.shape[1] / picture.shape[0] == pytest.approx(size[1] / size[0], rel=0.01)
    assert np.array_equal(made.frame.image, before), "the frame itself must stay as captured"


def test_large_frames_are_not_resized() -> None:
    image = np.zeros((500, 600, 3), np.uint8)
    assert enlarged(image) is image


HEADLINES = {
    "regions": "certified-stable",
    "pixels": "certified pixel by pixel",
    "radius": "certified radius",
}


@pytest.mark.parametrize(
    ("level", "state", "view"), [*itertools.product(LEVELS, ("ok", "withheld"), VIEWS)]
)
def test_words_name_the_level(level: Level, state: State, view: View) -> None:
    legend = Wording(manifest(level), 0.9, view)
    headline = legend.headline(result(*halves(), level=level, state=state))
    assert LEVEL_MEANING[level] in legend.details()
    if level == "none":
        assert "certified" not in headline
    else:
        assert headline.startswith(f"{HEADLINES[view]} ({level})")
        assert ("withheld" in headline) == (state == "withheld")


def test_share_is_rounded_down() -> None:
    made = result(*halves())
    assert made.prediction is not None
    made.prediction.flips[0] = 1
    assert Wording(manifest(), 0.9, "regions").headline(made).endswith(": 99 % of pixels")


def test_the_pixelwise_words_count_pixels_one_at_a_time() -> None:
    mask, radius = halves()
    radius[0, :7] = 0.25
    made = result(mask, radius)  # 377 of 384 road pixels, 377 of 768 pixels
    words = Wording(manifest(), 0.9, "pixels")
    assert words.headline(made).endswith(": 49 % of pixels")
    assert words.entries(made)[2:] == [("road", "road 98 %"), ("person", "person 0 %")]
    assert Wording(manifest(), 0.9, "radius").headline(made).endswith("49 % of pixels above eps")


@pytest.mark.parametrize(
    ("keep", "words"),
    [(0.9, ("90", "over 10 %")), (0.7, ("70", "over 30 %")), (1.0, ("100", "any pixel"))],
)
def test_keep_in_words(keep: float, words: tuple[str, str]) -> None:
    assert kept_percent(keep) == words


def test_an_unknown_view_is_named() -> None:
    with pytest.raises(InputError, match="'heat'; expected one of regions, pixels, radius"):
        checked_view("heat")


def test_wrapping_fits() -> None:
    _, body = styles(360)
    text = LEVEL_MEANING["statistical"]
    lines = wrapped(text, body, 300)
    assert " ".join(lines) == text
    assert len(lines) > 1
    assert max(map(body.width, lines)) <= 300


def test_colours_are_stable_and_distinct() -> None:
    names = ["road", "car", "person", "sky", "building", "vegetation", "sidewalk", "polyp"]
    assert len({class_colour(n) for n in names}) == len(names)
    assert class_colour("something else") == class_colour("Something Else")
