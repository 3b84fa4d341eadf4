"""Random uses of every operator that the Lipschitz rules know and that is not linear."""

from __future__ import annotations

from tests.export.toy_graphs import Rng, Toy
from tests.export.toy_operators import Step, conv1x1, random_kernel, random_window


def activation(rng: Rng, toy: Toy, x: str) -> str:
    kinds: list[tuple[str, dict[str, float]]] = [
        ("Relu", {}),
        ("LeakyRelu", {"alpha": float(rng.uniform(-2, 2))}),
        ("Abs", {}),
        ("Sigmoid", {}),
        ("Tanh", {}),
        ("Softplus", {}),
        ("Softsign", {}),
        ("HardSwish", {}),
        ("HardSigmoid", {"alpha": float(rng.uniform(-2, 2)), "beta": 0.4}),
        ("Elu", {"alpha": float(rng.uniform(-2, 2))}),
        ("Selu", {"alpha": float(rng.uniform(0.5, 2)), "gamma": float(rng.uniform(0.5, 2))}),
    ]
    op, found = kinds[int(rng.integers(len(kinds)))]
    return str(toy.node(op, x, **found))


def prelu(rng: Rng, toy: Toy, x: str) -> str:
    return str(toy.node("PRelu", x, toy.constant(rng.normal(0, 2, (toy.shape_of(x)[1], 1, 1)))))


def clip(rng: Rng, toy: Toy, x: str) -> str:
    limits = [toy.constant(-0.5) if rng.random() < 0.5 else "", toy.constant(1.5)]
    return str(toy.node("Clip", x, *limits))


def max_pool(rng: Rng, toy: Toy, x: str) -> str:
    window = random_window(rng, toy, x) | {"dilations": [1, 1]}
    if "pads" in window:
        kernel = window["kernel_shape"] * 2
        window["pads"] = [min(p, k - 1) for p, k in zip(window["pads"], kernel, strict=True)]
        window["ceil_mode"] = int(rng.integers(2))
    return str(toy.node("MaxPool", x, **window))


def global_max_pool(rng: Rng, toy: Toy, x: str) -> str:
    return str(toy.node("GlobalMaxPool", x))


def max_min(rng: Rng, toy: Toy, x: str) -> str:
    """A pair, a single one, of the same tensor, of three, with a constant, with broadcasting."""
    y = conv1x1(rng, toy, x)
    row = toy.node("GlobalAveragePool", x)
    kinds = [[x, y], [x, x], [x, y, x], [y, toy.constant(0.3)], [x, row], [row, y, x]]
    pair = [str(t) for t in kinds[int(rng.integers(len(kinds)))]]
    if rng.random() < 0.3:
        return str(toy.node(str(rng.choice(["Max", "Min"])), *pair))
    high, low = toy.node("Max", *pair), toy.node("Min", *(str(t) for t in rng.permutation(pair)))
    if rng.random() < 0.3:
        low = toy.node("Conv", low, toy.constant(random_kernel(rng, 2, toy.shape_of(x)[1], 1, 1)))
    return str(toy.node("Concat", high, low, axis=1))


def nonlinear_residual(rng: Rng, toy: Toy, x: str) -> str:
    channels = toy.shape_of(x)[1]
    k = toy.constant(random_kernel(rng, channels, channels, 3, 3))
    y = toy.node("Relu", toy.node("Conv", x, k, pads=[1, 1, 1, 1]))
    return str(toy.node("Add", x, conv1x1(rng, toy, str(y))))


NONLINEAR: tuple[Step, ...] = (
    activation,
    prelu,
    clip,
    max_pool,
    global_max_pool,
    max_min,
    nonlinear_residual,
)
