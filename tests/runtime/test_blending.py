"""Blending against the formula in integers, pixel by pixel; the compiled core against OpenCV."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lipdeploy.runtime import blending
from lipdeploy.runtime.blending import Colours, Stripes, blended, blended_by_opencv

Image = npt.NDArray[np.uint8]

compiled = pytest.mark.skipif(
    not blending.COMPILED, reason="lipdeploy._native was not built: no compiler at installation"
)


def colours_of(rng: np.random.Generator) -> Colours:
    """Any tables whose sums stay within 255; the edge is grey."""
    rest = rng.integers(0, 256, 256)
    colour = rng.integers(0, 256, (256, 3)) % (256 - rest[:, np.newaxis])
    colour[255] = colour[255, 0]
    striped = rng.integers(0, 256, 256)
    return Colours(rest.astype(np.uint8), colour.astype(np.uint8), striped.astype(np.uint8))


def scene(seed: int, size: tuple[int, int], small: tuple[int, int]) -> tuple[Image, Image, Image]:
    """A frame, codes and what is inside the outline."""
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (*size, 3)).astype(np.uint8)
    code = rng.integers(0, 256, small).astype(np.uint8)
    inside = (rng.random(small) < 0.5).astype(np.uint8)
    return image, code, inside


def expected(
    image: Image, code: Image, colours: Colours, inside: Image | None, stripes: Stripes
) -> Image:
    """Every pixel by itself, in Python's integers."""
    height, width = image.shape[:2]
    rows, columns = np.indices((height, width))
    places = rows * code.shape[0] // height, columns * code.shape[1] // width
    large = code[places].astype(int)
    marks = None if inside is None else inside[places]
    picture = np.zeros_like(image)
    for y in range(height):
        for x in range(width):
            value = large[y, x]
            if (x + y) % stripes[0] < stripes[1]:
                value = int(colours.striped[value])
            if marks is not None:
                around = marks[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2]
                value = colours.edge if around.min() != around.max() else value
            rest = int(colours.rest[value])
            for k in range(3):
                left = (2 * int(image[y, x, k]) * rest + 255) // 510
                picture[y, x, k] = left + int(colours.colour[value, k])
    return picture


@pytest.mark.parametrize("how", [pytest.param(blended, marks=compiled), blended_by_opencv])
@pytest.mark.parametrize("outline", [True, False])
@pytest.mark.parametrize(("size", "small"), [((24, 40), (6, 5)), ((12, 9), (12, 9))])
def test_every_pixel(
    how: object, outline: bool, size: tuple[int, int], small: tuple[int, int]
) -> None:
    assert callable(how)
    image, code, inside = scene(5, size, small)
    colours = colours_of(np.random.default_rng(6))
    marks = inside if outline else None
    found = how(image, code, colours, marks, (7, 3))
    np.testing.assert_array_equal(found, expected(image, code, colours, marks, (7, 3)))


@compiled
def test_every_product_is_rounded_as_opencv_does() -> None:
    values = np.repeat(np.arange(256, dtype=np.uint8), 256).reshape(256, 256)
    image = np.dstack([values] * 3)
    code = np.ascontiguousarray(values.T)
    colours = Colours(np.arange(256, dtype=np.uint8), np.zeros((256, 3), np.uint8), code[0])
    np.testing.assert_array_equal(
        blended(image, code, colours), blended_by_opencv(image, code, colours)
    )


@compiled
@settings(max_examples=80, deadline=None)
@given(
    st.integers(0, 2**32),
    st.tuples(st.integers(1, 70), st.integers(1, 70)),
    st.tuples(st.integers(1, 30), st.integers(1, 30)),
    st.integers(1, 12),
    st.booleans(),
)
def test_the_compiled_core_equals_opencv(
    seed: int, size: tuple[int, int], small: tuple[int, int], period: int, outline: bool
) -> None:
    """Enlarged, shrunk and stretched by any factor."""
    image, code, inside = scene(seed, size, small)
    colours = colours_of(np.random.default_rng(seed))
    given_ = (image, code, colours, inside if outline else None, (period, period // 2))
    np.testing.assert_array_equal(blended(*given_), blended_by_opencv(*given_))


@compiled
def test_views_of_larger_arrays() -> None:
    image, code, inside = scene(1, (40, 60), (8, 12))
    colours = colours_of(np.random.default_rng(2))
    cut = (image[::2, ::3], code[:, ::2], colours, inside[:, ::2], (5, 2))
    np.testing.assert_array_equal(blended(*cut), blended_by_opencv(*cut))
    image.flags.writeable = False
    assert blended(image, code, colours).shape == image.shape


def test_without_the_core_opencv_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    image, code, inside = scene(3, (20, 30), (5, 6))
    colours = colours_of(np.random.default_rng(4))
    before = blended(image, code, colours, inside, (6, 2))
    monkeypatch.setattr(blending, "COMPILED", False)
    np.testing.assert_array_equal(blended(image, code, colours, inside, (6, 2)), before)


@compiled
def test_what_does_not_fit_is_refused() -> None:
    image, code, _ = scene(0, (4, 4), (2, 2))
    much = Colours(
        np.full(256, 200, np.uint8), np.full((256, 3), 100, np.uint8), np.zeros(256, np.uint8)
    )
    with pytest.raises(ValueError, match="rest \\+ colour <= 255"):
        blended(image, code, much)
    fine = colours_of(np.random.default_rng(0))
    with pytest.raises(ValueError, match="marks to outline"):
        blended(image, code, fine, np.zeros((3, 2), np.uint8))
    with pytest.raises(ValueError, match="rows \\* columns"):
        blended(image[:, :, :2], code, fine)
