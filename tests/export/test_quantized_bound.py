"""Bound and replay of quantized and half-precision graphs against functions written in torch.

The oracle never reads the graph: it is put together beside it, from the same numbers, in float64.
"""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lipdeploy.export.verifier.graph import Graph
from lipdeploy.export.verifier.lipschitz import graph_bound
from lipdeploy.export.verifier.replay import Replay
from tests.export.test_lipschitz_rules import quick
from tests.export.toy_graphs import Toy, bound_of, run_onnxruntime
from tests.export.toy_quantized import (
    KIND,
    Trunk,
    dense_norm,
    kernels,
    per_channel,
    random_twin,
    toy_trunk,
)

PRECISIONS = ("float32", "fp16", "int8-weights", "int8", "int16")


@quick(30)
@given(seed=st.integers(0, 2**31))
def test_a_chain_is_never_bounded_below_its_jacobian_and_replays_exactly(seed: int) -> None:
    rng = np.random.default_rng(seed)
    twin = random_twin(rng, steps=int(rng.integers(1, 5)))
    model = twin.toy.model(twin.tensor)
    assert dense_norm(twin, rng) <= bound_of(model, twin.tensor) * (1 + 1e-12)
    image = rng.standard_normal(twin.toy.shape)
    expected = twin(torch.tensor(image)).numpy()
    found = Replay(Graph(model), "image", twin.tensor).run(image)
    assert np.abs(found - expected).max() <= 1e-12 * (1 + np.abs(expected).max())


@pytest.mark.parametrize("seed", range(8))
def test_a_clip_that_passes_everything_costs_nothing(seed: int) -> None:
    """Orthogonal pointwise layers in int8: the product of the norms of what is stored."""
    rng, toy = np.random.default_rng(seed), Toy((1, 8, 3, 3))
    x, product = "image", 1.0
    for _ in range(4):
        q = np.linalg.qr(rng.standard_normal((8, 8)))[0]
        stored, scale = per_channel(q[:, :, None, None])
        product *= _matrix_norm(stored.astype(float) * scale.astype(float)[:, None, None, None])
        steps = [toy.constant(1.0), toy.constant(0, np.int8)]
        x = toy.node("DequantizeLinear", toy.node("QuantizeLinear", x, *steps), *steps)
        zero = toy.constant(np.zeros(8), np.int8)
        kernel = [toy.constant(stored, np.int8), toy.constant(scale), zero]
        x = toy.node("Conv", x, toy.node("DequantizeLinear", *kernel, axis=0))
    bound = bound_of(toy.model(x), x)
    assert 1.0 < product <= bound <= product * (1 + 1e-5)


def symbol_norm(kernel: np.ndarray, points: int = 64) -> float:
    """Largest norm of a 3x3 kernel's symbol on a grid: what a large frame approaches."""
    symbol = np.fft.fft2(kernel, (points, points)).transpose(2, 3, 0, 1)
    return float(np.linalg.norm(symbol, 2, axis=(-2, -1)).max())


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_layers_of_a_file_have_the_norms_of_the_stored_weights(precision: str) -> None:
    layers = graph_bound(Graph(toy_trunk(precision).model())).layers
    for layer, kernel, unit in zip(layers, kernels(), (255.0, 1.0), strict=True):
        stored = _as_stored(precision, kernel)
        norm = unit * (symbol_norm(stored) if stored.shape[2] == 3 else _matrix_norm(stored))
        assert norm * (1 - 1e-12) <= layer.bound <= norm * 1.02


def _matrix_norm(kernel: np.ndarray) -> float:
    return float(np.linalg.norm(kernel[:, :, 0, 0], 2))


def _as_stored(precision: str, kernel: np.ndarray) -> np.ndarray:
    if precision in ("float32", "fp16"):
        kind = np.float16 if precision == "fp16" else np.float32
        return np.asarray(kernel.astype(kind), np.float64)
    stored, scale = per_channel(kernel)
    return np.asarray(stored.astype(float) * scale.astype(float)[:, None, None, None])


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_file_replays_the_clips_and_rounds_nothing(precision: str) -> None:
    """Against the whole trunk by hand; frames of extremes reach the clips of the features."""
    rng = np.random.default_rng(0)
    replay = Replay(Graph(toy_trunk(precision).model()))
    for frame in (rng.integers(0, 256, (8, 8, 3)), rng.integers(0, 2, (8, 8, 3)) * 255):
        found = replay(frame.astype(np.uint8))
        expected = _by_hand(precision, frame)
        assert np.abs(found - expected).max() <= 1e-12


def _by_hand(precision: str, frame: np.ndarray) -> np.ndarray:
    first, last = (torch.tensor(_as_stored(precision, kernel)) for kernel in kernels())
    x = _clipped(precision, torch.tensor(frame.transpose(2, 0, 1)[None] - 127.5), 127.5)
    x = _clipped(precision, torch.nn.functional.conv2d(x, first, padding=1), 0.9)
    a, b = x.chunk(2, 1)
    x = _clipped(precision, torch.cat([torch.maximum(a, b), torch.minimum(a, b)], 1), 0.9)
    return np.asarray(torch.nn.functional.conv2d(x, last)[0])


def _clipped(precision: str, x: torch.Tensor, largest: float) -> torch.Tensor:
    if precision not in KIND:
        return x
    info = np.iinfo(KIND[precision])
    scale = float(np.float32(largest / info.max))
    return x.clamp(info.min * scale, info.max * scale)


@pytest.mark.parametrize(
    ("kind", "axis"), [(np.int8, None), (np.uint8, None), (np.int8, 1), (np.uint8, 3)]
)
def test_values_on_the_grid_are_what_onnxruntime_computes(kind: type, axis: int | None) -> None:
    """Dyadic scales and weights: no rounding anywhere, the ends of the range included."""
    rng, toy = np.random.default_rng(1), Toy((1, 2, 4, 4))
    shape = () if axis is None else (toy.shape[axis],)
    scale = np.exp2(rng.integers(-3, 2, shape)).astype(np.float32)
    info = np.iinfo(kind)
    names = [toy.constant(scale), toy.constant(rng.integers(info.min, info.max, shape), kind)]
    found = {} if axis is None else {"axis": axis}
    q = toy.node("QuantizeLinear", "image", *names, **found)
    x = toy.node("DequantizeLinear", q, *names, **found)
    weights = [toy.constant(rng.integers(-127, 128, (3, 2, 3, 3)), np.int8)]
    weights += [toy.constant([0.5, 0.25, 2.0]), toy.constant(np.zeros(3), np.int8)]
    kernel = toy.node("DequantizeLinear", *weights, axis=0)
    model = toy.model(toy.node("Conv", x, kernel, pads=[1, 1, 1, 1]))
    wide = np.ones(4, int) if axis is None else np.eye(4, dtype=int)[axis] * (shape or (1,))[0]
    steps = np.reshape(scale, np.maximum(wide, 1))
    images = rng.integers(-700, 701, (6, *toy.shape)) * steps
    output = model.graph.output[0].name
    replay = Replay(Graph(model), "image", output)
    for image, expected in zip(images, run_onnxruntime(model, images), strict=True):
        assert (replay.run(image).ravel() == expected).all()


def test_the_bound_of_a_float16_file_is_that_of_the_rounded_weights() -> None:
    """fp16(0.1) is 2.4e-4 below 0.1, in relative terms: the stored value counts."""
    trunk = Trunk("fp16")
    trunk.add("Cast", ["image"], "bytes", to=10)
    trunk.add("Transpose", ["bytes"], "planes", perm=[0, 3, 1, 2])
    kernel = np.zeros((2, 3, 1, 1))
    kernel[0, 0] = kernel[1, 1] = 0.1
    trunk.add("Cast", [trunk.conv("planes", "k", kernel, "half")], "logits", to=1)
    bound = graph_bound(Graph(trunk.model())).lipschitz
    exact = 255 * float(np.float16(0.1))
    assert exact <= bound <= exact * (1 + 1e-6) < 25.5 * (1 - 2e-4)
