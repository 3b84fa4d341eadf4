"""What the overlay shows, read back from its pixels and its words."""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt
import pytest

from lipdeploy.core.manifest import LEVEL_MEANING, LEVELS, Level, Manifest, Numerics
from lipdeploy.runtime.lettering import styles, wrapped
from lipdeploy.runtime.overlay import Overlay, enlarged
from lipdeploy.runtime.palette import class_colour
from lipdeploy.runtime.regions import find_regions
from lipdeploy.runtime.result import Result, State
from lipdeploy.runtime.session import Prediction
from lipdeploy.runtime.sources.frame import Frame
from lipdeploy.runtime.wording import Wording

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


def test_many_classes() -> None:
    names = tuple(f"class {k}" for k in range(150))
    mask = (np.arange(HEIGHT * WIDTH) // 5 % 150).astype(np.uint8).reshape(HEIGHT, WIDTH)
    made = result(mask, np.ones((HEIGHT, WIDTH), np.float32))
    picture = Overlay(manifest(names=names), 0.9).draw(made, 30.0)
    assert picture.shape == (480, 640, 3)


@pytest.mark.parametrize("size", [(240, 320), (360, 640), (64, 48), (20, 400), (1080, 1920)])
@pytest.mark.parametrize("state", ["ok", "withheld"])
def test_every_size(size: tuple[int, int], state: State) -> None:
    made = result(*halves(), state=state, size=size)
    before = made.frame.image.copy()
    picture = Overlay(manifest(), 0.9).draw(made, 12.0)
    assert min(picture.shape[:2]) == max(480, min(size))
    assert picture.shape[1] / picture.shape[0] == pytest.approx(size[1] / size[0], rel=0.01)
    assert np.array_equal(made.frame.image, before), "the frame itself must stay as captured"


def test_large_frames_are_not_resized() -> None:
    image = np.zeros((500, 600, 3), np.uint8)
    assert enlarged(image) is image


@pytest.mark.parametrize(("level", "state"), [*itertools.product(LEVELS, ("ok", "withheld"))])
def test_words_name_the_level(level: Level, state: State) -> None:
    legend = Wording(manifest(level), 0.9, "regions")
    headline = legend.headline(result(*halves(), level=level, state=state))
    assert LEVEL_MEANING[level] in legend.details()
    if level == "none":
        assert "certified" not in headline
    else:
        assert headline.startswith(f"certified-stable ({level})")
        assert ("withheld" in headline) == (state == "withheld")


def test_share_is_rounded_down() -> None:
    made = result(*halves())
    assert made.prediction is not None
    made.prediction.flips[0] = 1
    assert Wording(manifest(), 0.9, "regions").headline(made).endswith(": 99 % of pixels")


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
