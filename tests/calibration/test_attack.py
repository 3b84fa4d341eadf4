"""Derivatives against the adjoint identity and finite differences; attacks against their budget."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from lipdeploy.calibration.attack import EPS, L2Attack, cross_entropy_gradient
from lipdeploy.calibration.derivatives import ADJOINTS, ReversePass
from lipdeploy.core.errors import InputError
from lipdeploy.export.verifier.graph import Graph
from lipdeploy.export.verifier.operators import OPERATORS
from tests.calibration import small_network as small

RNG = np.random.default_rng(0)
Array = npt.NDArray[Any]


def kernel(*shape: int) -> Array:
    return RNG.normal(size=shape)


def index(*values: int) -> Array:
    return np.array(values, np.int64)


LINEAR: list[tuple[str, dict[str, Any], tuple[int, ...], list[Any]]] = [
    ("Conv", {"pads": [1, 0, 2, 1], "strides": [2, 1]}, (1, 4, 7, 8), [kernel(6, 4, 3, 3)]),
    ("Conv", {"dilations": [2, 3], "group": 2}, (2, 4, 9, 9), [kernel(6, 2, 3, 2)]),
    ("ConvTranspose", {"strides": [2, 2]}, (1, 4, 5, 4), [kernel(4, 3, 2, 2)]),
    (
        "ConvTranspose",
        {"strides": [2, 3], "pads": [1, 1, 0, 1], "output_padding": [1, 0], "group": 2},
        (1, 4, 5, 4),
        [kernel(4, 3, 3, 2)],
    ),
    ("DepthToSpace", {"blocksize": 2, "mode": b"CRD"}, (1, 8, 3, 4), []),
    ("DepthToSpace", {"blocksize": 2, "mode": b"DCR"}, (1, 8, 3, 4), []),
    ("SpaceToDepth", {"blocksize": 2}, (1, 2, 6, 4), []),
    ("Slice", {}, (1, 4, 6, 6), [index(1, 5), index(4, 0), index(1, 2), index(1, -2)]),
    ("Pad", {}, (1, 2, 3, 4), [index(0, 0, 1, 2, 0, 0, 0, 3)]),
    ("Pad", {"mode": b"wrap"}, (1, 2, 3, 4), [index(0, 0, 1, 2, 0, 0, 0, 3)]),
    ("Transpose", {"perm": [0, 3, 1, 2]}, (1, 3, 4, 2), []),
    ("Split", {"axis": 1, "num_outputs": 2}, (1, 6, 2, 2), []),
    ("Reshape", {}, (1, 6, 2, 2), [index(1, 4, -1)]),
    ("Neg", {}, (1, 2, 3), []),
    ("Mul", {}, (1, 3, 2, 2), [kernel(1, 3, 1, 1)]),
    ("Div", {}, (1, 3, 2, 2), [kernel(1, 3, 1, 1)]),
]


@pytest.mark.parametrize("case", LINEAR, ids=lambda case: case[0])
def test_linear_operators_satisfy_the_adjoint_identity(
    case: tuple[str, dict[str, Any], tuple[int, ...], list[Any]],
) -> None:
    op, found, shape, rest = case
    x = RNG.normal(size=shape)
    outputs = OPERATORS[op](found, x, *rest)
    given = [RNG.normal(size=y.shape) for y in outputs]
    back = ADJOINTS[op](found, [x, *rest], outputs, given)[0]
    assert back is not None
    assert back.shape == shape
    forth = sum(float((y * g).sum()) for y, g in zip(outputs, given, strict=True))
    assert float((x * back).sum()) == pytest.approx(forth, rel=1e-10)


def test_the_gradient_is_that_of_finite_differences() -> None:
    network = ReversePass(Graph(small.trunk(small.arrays())))
    image = small.frame(2)[None].astype(np.float64)
    direction = RNG.normal(size=image.shape)
    wanted = RNG.normal(size=(1, 2, small.SIDE, small.SIDE))
    gradient = network.gradient(network.forward(image), wanted)
    step = 1e-4
    ends = [network.forward(image + s * step * direction)["logits"] for s in (1, -1)]
    slope = float(((ends[0] - ends[1]) * wanted).sum()) / (2 * step)
    assert float((gradient * direction).sum()) == pytest.approx(slope, rel=1e-5)


def test_the_gradient_of_the_objective() -> None:
    logits, step = RNG.normal(scale=0.05, size=(1, 3, 4, 4)), 1e-6
    labels = logits.argmax(1)

    def loss(x: Array) -> float:
        scaled = 40.0 * x
        chosen = np.take_along_axis(scaled, labels[:, None], 1)[:, 0]
        return float((np.log(np.exp(scaled).sum(1)) - chosen).mean())

    direction = RNG.normal(size=logits.shape)
    slope = (loss(logits + step * direction) - loss(logits - step * direction)) / (2 * step)
    found = float((cross_entropy_gradient(logits, labels) * direction).sum())
    assert found == pytest.approx(slope, rel=1e-6)


def test_attacked_frames_stay_in_the_ball_and_are_worse_than_noise() -> None:
    network = ReversePass(Graph(small.trunk(small.arrays())))
    attack = L2Attack(network)
    for seed in range(3):
        frame = small.frame(seed)
        start = frame[None].astype(np.float64)
        before = network.forward(start)["logits"]
        moved = attack.perturbed(frame)
        assert np.linalg.norm(moved - frame) <= EPS * 255 * (1 + 1e-9)
        assert moved.min() >= 0
        assert moved.max() <= 255
        noise = RNG.normal(size=start.shape)
        noise *= EPS * 255 / np.linalg.norm(noise)
        margins = []
        for image in (moved[None], start + noise):
            found = network.forward(image)["logits"]
            own = np.take_along_axis(found, before.argmax(1)[:, None], 1)[:, 0]
            other = np.take_along_axis(found, 1 - before.argmax(1)[:, None], 1)[:, 0]
            margins.append(float((own - other).mean()))
        assert margins[0] < margins[1]
        assert attack(frame).dtype == np.uint8


def test_an_operator_without_a_derivative_is_named() -> None:
    model = small.trunk(small.arrays())
    model.graph.node[-2].op_type = "Relu"
    del model.graph.node[-2].input[1:], model.graph.node[-2].attribute[:]
    ReversePass(Graph(model))
    model.graph.node[-2].op_type = "Sigmoid"
    with pytest.raises(InputError, match="Sigmoid 'e' has no derivative here"):
        ReversePass(Graph(model))
