"""IOBinding, on the CPU, where the same code runs as on a GPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch.utils.dlpack import from_dlpack

from lipdeploy.core.errors import InputError
from lipdeploy.runtime import onnxruntime_session
from lipdeploy.runtime.bound_model import BoundModel
from lipdeploy.runtime.engine_session import EngineSession
from lipdeploy.runtime.model_file import read_model

ORT = onnxruntime_session.ENGINE
Image = npt.NDArray[np.uint8]


def image(seed: int = 0) -> Image:
    return np.random.default_rng(seed).integers(0, 256, (48, 64, 3), np.uint8)


def bound(path: Path, fixed: bool = False) -> BoundModel:
    return BoundModel(onnxruntime_session.cpu_session(path.read_bytes(), 1), "cpu", fixed)


def test_bound_buffers_give_the_same_and_keep_it(model_path: Path) -> None:
    file = read_model(model_path)
    model = bound(model_path)
    session = EngineSession(file, ORT, model.run)
    plain = onnxruntime_session.open_model(file, 1)
    first = session.infer(image(1), [0.2])
    second = session.infer(image(2), [0.3])
    for found, frame, eps in ((first, image(1), 0.2), (second, image(2), 0.3)):
        expected = plain.infer(frame, [eps])
        for name in ("mask", "radius", "flips"):
            assert np.array_equal(getattr(found, name), getattr(expected, name))


@pytest.mark.parametrize("fixed", [False, True])
def test_a_tensor_goes_in_and_tensors_come_out(model_path: Path, fixed: bool) -> None:
    model = bound(model_path, fixed)
    plain = onnxruntime_session.open_model(read_model(model_path), 1)
    places = set()
    for seed in (1, 2):
        tensor = torch.from_numpy(image(seed)[None])
        found = model.run_shared(tensor, np.array([0.2], np.float32))
        expected = plain.infer(image(seed), [0.2])
        mask = from_dlpack(found.mask)
        assert np.array_equal(mask.numpy()[0], expected.mask)
        assert np.array_equal(from_dlpack(found.radius).numpy()[0], expected.radius)
        assert np.array_equal(from_dlpack(found.flips).numpy()[0], expected.flips)
        places.add(mask.data_ptr())
    assert len(places) == 1  # the buffers stay where they are
    again = model.run(["mask"], {"image": image(3)[None]})
    assert np.array_equal(again[0][0], plain.infer(image(3), [0.2]).mask)


def test_a_tensor_is_read_where_it_is_unless_addresses_are_recorded(model_path: Path) -> None:
    tensor = torch.from_numpy(image()[None])
    for fixed, copied in ((False, False), (True, True)):
        model = bound(model_path, fixed)
        model.run_shared(tensor, np.array([0.2], np.float32))
        own = model._inputs["image"].numpy()
        assert np.array_equal(own, tensor.numpy()) == copied


@pytest.mark.parametrize(
    "wrong",
    [
        torch.zeros((1, 48, 64, 3)),
        torch.zeros((48, 64, 3), dtype=torch.uint8),
        torch.zeros((1, 3, 48, 64), dtype=torch.uint8).permute(0, 2, 3, 1),
        "image",
    ],
)
def test_a_tensor_that_does_not_fit_is_refused(model_path: Path, wrong: Any) -> None:
    with pytest.raises(InputError, match="expected"):
        bound(model_path).run_shared(wrong, np.array([0.2], np.float32))
