"""Every transformation against the same network in plain float64 NumPy, which reads no graph."""

from __future__ import annotations

import struct

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import numpy_helper

from lipdeploy.calibration.activations import (
    INT8,
    INT16,
    Grid,
    activation_tensors,
    clipped_activations,
    quantized_activations,
)
from lipdeploy.calibration.half import half_trunk, rounded_trunk
from lipdeploy.calibration.kernels import (
    int8_weight_trunk,
    non_expansive,
    quantized_kernel,
    quantized_kernels,
)
from lipdeploy.core.errors import InputError
from lipdeploy.export.verifier.constants import folded_constants
from lipdeploy.export.verifier.graph import Graph
from lipdeploy.export.verifier.lipschitz import graph_bound
from lipdeploy.export.verifier.precision import precision_of
from lipdeploy.export.verifier.replay import Replay
from tests.calibration import small_network as small

LIMITS = {"b": 0.2, "d": 0.15, "e": 0.1}  # some values of every tensor lie outside


def stored(model: onnx.ModelProto) -> dict[str, npt.NDArray[np.generic]]:
    return {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}


def half(value: float) -> float:
    """To float16 and back by the standard library's own rounding."""
    return float(struct.unpack("e", struct.pack("e", value))[0])


def int8_arrays(model: onnx.ModelProto) -> dict[str, npt.NDArray[np.float64]]:
    """Kernels from what is stored: integers times scales, in float64."""
    found, made = stored(model), {}
    for name in ("entry", "middle", "last", "up"):
        integers = found[f"{name}.weight_int8"].astype(np.float64)
        axis = 1 if name == "up" else 0
        shape = [-1 if i == axis else 1 for i in range(4)]
        made[f"{name}.weight"] = integers * found[f"{name}.weight_scale"].astype(
            np.float64
        ).reshape(shape)
        made[f"{name}.bias"] = found.get(f"{name}.bias", np.zeros(1)).astype(np.float64)
    return made


def test_half_precision_rounds_every_weight_once() -> None:
    model = rounded_trunk(small.trunk(small.arrays()))
    rounded = {n: np.vectorize(half)(v.astype(float)) for n, v in small.arrays().items()}
    assert precision_of(Graph(model)) == "fp16"
    for seed in range(3):
        expected = small.logits(rounded, small.frame(seed))
        np.testing.assert_allclose(Replay(Graph(model))(small.frame(seed)), expected, atol=1e-12)


def test_bytes_are_exact_in_half_precision() -> None:
    values = np.arange(256) - 127.5
    assert all(half(float(v)) == v for v in values)


def test_half_precision_takes_the_form_of_the_smaller_bound() -> None:
    trunk = small.trunk(small.arrays(3))
    bounds = [graph_bound(Graph(f(trunk))).lipschitz for f in (rounded_trunk, half_trunk)]
    assert bounds[1] <= bounds[0]


def test_half_precision_refuses_what_it_cannot_hold() -> None:
    values = small.arrays()
    values["last.bias"][0] = 1e5
    with pytest.raises(InputError, match=r"'last.bias' holds 1e\+05, beyond float16"):
        half_trunk(small.trunk(values))


def test_kernels_are_within_half_a_step_and_use_all_levels() -> None:
    kernel = small.arrays()["middle.weight"].astype(np.float64)
    found = quantized_kernel(kernel, 0)
    steps = np.abs(kernel).max((1, 2, 3), keepdims=True) / 127
    made = found.integers * found.scales.astype(np.float64).reshape(-1, 1, 1, 1)
    assert (np.abs(made - kernel) <= 0.5001 * steps).all()
    assert (np.abs(found.integers).max((1, 2, 3)) == 127).all()


def test_a_channel_of_zeros_stays_zero() -> None:
    found = quantized_kernel(np.zeros((2, 3, 1, 1)), 0)
    assert not found.integers.any()
    assert (found.scales == 1).all()


def test_dequantized_weights_are_stored_integers_times_scales() -> None:
    trunk = small.trunk(small.arrays())
    model = int8_weight_trunk(trunk, quantized_kernels(trunk))
    constants = folded_constants(Graph(model))
    for name, expected in int8_arrays(model).items():
        np.testing.assert_array_equal(constants[name], expected)
    assert precision_of(Graph(model)) == "int8-weights"
    expected_logits = small.logits(int8_arrays(model), small.frame(1))
    np.testing.assert_allclose(Replay(Graph(model))(small.frame(1)), expected_logits, atol=1e-12)


def test_scales_keep_every_layer_at_or_below_one() -> None:
    """The norm of a layer from the singular values of its dense matrix on a small frame."""
    values = small.arrays(5)
    for name in ("middle.weight", "last.weight"):
        values[name] = (values[name] * 1.6).astype(np.float32)  # above 1 before
    trunk = small.trunk(values)
    kernels = non_expansive(trunk, quantized_kernels(trunk))
    for name, inputs, pad in (("middle", 8, 1), ("last", 16, 0)):
        kernel = kernels[f"{name}.weight"]
        dense = kernel.integers * kernel.scales.astype(np.float64).reshape(-1, 1, 1, 1)
        columns = [
            small.convolved(e.reshape(inputs, 6, 6), dense, np.zeros(8), 1, pad).ravel()
            for e in np.eye(inputs * 36)
        ]
        assert 0.5 < np.linalg.norm(np.array(columns), 2) <= 1 + 1e-6
    before = quantized_kernels(trunk)["middle.weight"]
    np.testing.assert_array_equal(kernels["middle.weight"].integers, before.integers)
    assert graph_bound(Graph(int8_weight_trunk(trunk, kernels))).lipschitz <= 1 + 1e-6


@pytest.mark.parametrize("grid", [INT8, INT16], ids=["int8", "int16"])
def test_activations_are_clipped_and_the_image_is_not(grid: Grid) -> None:
    trunk = small.trunk(small.arrays())
    assert activation_tensors(trunk) == list(LIMITS)
    weights = int8_weight_trunk(trunk, quantized_kernels(trunk))
    model = quantized_activations(weights, LIMITS, grid)
    largest = 127 if grid is INT8 else 32767
    values, clips = int8_arrays(model), {}
    for name, limit in LIMITS.items():
        scale = float(np.float32(limit / largest))
        clips[name] = (-(largest + 1) * scale, largest * scale)
    centre = 127.5
    if grid is INT8:
        centre = 128.0
        moved = small.arrays()["entry.bias"] + 0.5 * values["entry.weight"].sum((1, 2, 3))
        values["entry.bias"] = moved.astype(np.float32).astype(np.float64)
    for seed in range(3):
        image = small.frame(seed)
        expected = small.logits(values, image, clips, centre)
        free = small.logits(values, image, None, centre)
        assert np.abs(expected - free).max() > 1e-3  # the clips act
        np.testing.assert_allclose(Replay(Graph(model))(image), expected, atol=1e-12)
        clipped = Replay(Graph(clipped_activations(weights, LIMITS, grid)))(image)
        np.testing.assert_allclose(clipped, expected, atol=1e-6)
    assert precision_of(Graph(model)) == ("int8" if grid is INT8 else "int16")


def test_the_shift_by_half_a_grey_level_is_made_good_inside() -> None:
    """Away from the border of 1 pixel of the first layer nothing changes but float32's last bit."""
    trunk = small.trunk(small.arrays())
    weights = int8_weight_trunk(trunk, quantized_kernels(trunk))
    wide = dict.fromkeys(LIMITS, 100.0)
    for seed in range(3):
        before = Replay(Graph(weights))(small.frame(seed))
        after = Replay(Graph(quantized_activations(weights, wide, INT8)))(small.frame(seed))
        np.testing.assert_allclose(after[:, 5:, 5:], before[:, 5:, 5:], atol=1e-6)


def test_bounds_see_through_the_quantizers() -> None:
    trunk = small.trunk(small.arrays())
    weights = int8_weight_trunk(trunk, quantized_kernels(trunk))
    plain, quantized = (
        graph_bound(Graph(m)).lipschitz
        for m in (weights, quantized_activations(weights, LIMITS, INT8))
    )
    assert quantized == pytest.approx(plain, rel=1e-9)
