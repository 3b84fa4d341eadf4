"""Sessions: what they accept, what they refuse, and that nothing unsound leaves them."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from lipdeploy.core.errors import ArtefactError, InputError, VerificationError
from lipdeploy.core.manifest import Manifest
from lipdeploy.runtime.session import (
    checked_budgets,
    open_session,
    prediction_from_outputs,
)

Make = Callable[..., Path]


def random_image(
    height: int = 48, width: int = 64
) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def test_prediction_equals_numpy(model_path: Path) -> None:
    image = random_image()
    with open_session(model_path) as session:
        prediction = session.infer(image, [0.1])
    top = np.sort(image.astype(np.float64), axis=2) / 255
    radius = (top[..., 2] - top[..., 1]) / math.sqrt(2)
    assert np.array_equal(prediction.mask, image.argmax(2))
    np.testing.assert_allclose(prediction.radius, radius, atol=1e-6)
    assert prediction.flips.tolist() == [np.count_nonzero(prediction.radius <= np.float32(0.1))]


def test_missing_file_and_folder_are_input_errors(tmp_path: Path) -> None:
    for path, what in ((tmp_path / "no.onnx", "not there"), (tmp_path, "a folder")):
        with pytest.raises(InputError, match=what):
            open_session(path)


def test_an_engine_that_is_not_here_names_those_that_are(model_path: Path) -> None:
    with pytest.raises(ArtefactError, match=r"'onnxruntime-cuda' .*available here: onnxruntime"):
        open_session(model_path, engine="onnxruntime-cuda")


def test_negative_threads(model_path: Path) -> None:
    with pytest.raises(InputError, match="threads is -1"):
        open_session(model_path, threads=-1)


@pytest.mark.parametrize("content", [b"", b"hello", b"\x08\x0a" * 100])
def test_broken_onnx(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(content)
    with pytest.raises(VerificationError) as caught:
        open_session(path)
    assert "\n" not in str(caught.value)


def test_truncated_onnx(model_path: Path) -> None:
    model_path.write_bytes(model_path.read_bytes()[:-200])
    with pytest.raises(VerificationError):
        open_session(model_path)


def test_foreign_onnx_has_no_metadata(make_model: Make) -> None:
    with pytest.raises(VerificationError, match="not a lipdeploy model"):
        open_session(make_model(metadata={}))


def test_metadata_that_lies_about_the_size(make_model: Make) -> None:
    with pytest.raises(VerificationError, match="input 'image' is"):
        open_session(make_model(size=(24, 32)))


def test_model_without_radius(model_path: Path) -> None:
    model = onnx.load(model_path)
    del model.graph.output[1]
    onnx.save(model, model_path)
    with pytest.raises(VerificationError, match="output 'radius' is missing"):
        open_session(model_path)


@pytest.mark.parametrize(
    "image",
    [
        random_image(48, 63),
        random_image()[..., :1],
        random_image().astype(np.float32),
        np.zeros((0, 0, 3), np.uint8),
    ],
)
def test_wrong_image(
    model_path: Path, image: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]
) -> None:
    with (
        open_session(model_path) as session,
        pytest.raises(InputError, match=r"expected uint8 \(48, 64, 3\)"),
    ):
        session.infer(image, [0.1])


@pytest.mark.parametrize("eps", [-0.1, math.nan, math.inf, -math.inf, 1e30])
def test_wrong_eps(model_path: Path, eps: float) -> None:
    with open_session(model_path) as session, pytest.raises(InputError, match="eps is"):
        session.infer(random_image(), [eps])


def test_wrong_number_of_budgets(model_path: Path) -> None:
    with open_session(model_path) as session, pytest.raises(InputError, match="got 2 values"):
        session.infer(random_image(), [0.1, 0.2])


def test_budgets_never_round_down() -> None:
    manifest = Manifest.__new__(Manifest)
    object.__setattr__(manifest, "budgets", 1000)
    exact = np.random.default_rng(1).uniform(0, 2, 1000)
    rounded = checked_budgets(exact.tolist(), manifest)
    assert (rounded.astype(np.float64) >= exact).all()
    np.testing.assert_allclose(rounded, exact, rtol=2e-7)


def test_what_is_not_a_number_claims_nothing() -> None:
    mask = np.zeros((1, 1, 4), np.uint8)
    radius = np.array([[[math.nan, -1.0, math.inf, 0.5]]], np.float32)
    flips = np.array([[math.nan, -3.0, 99.0, 1.5]], np.float32)
    prediction = prediction_from_outputs(mask, radius, flips)
    assert prediction.radius.tolist() == [[0.0, 0.0, math.inf, 0.5]]
    assert prediction.flips.tolist() == [4.0, 0.0, 4.0, 2.0]
