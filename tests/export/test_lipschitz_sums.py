"""Sums share what their branches have in common: never below the truth, and not above 1 + L."""

import numpy as np
import pytest

from lipdeploy.core.operator_norm import convolution_norm_bound
from lipdeploy.export.verifier.graph import Graph
from lipdeploy.export.verifier.replay import Replay
from tests.export.toy_graphs import Toy, bound_of, exact_norm, local_norm


def pointwise(matrix: np.ndarray) -> np.ndarray:
    return np.asarray(matrix[:, :, None, None])


def toy_of(channels: int = 3, height: int = 6, width: int = 5) -> Toy:
    return Toy((1, channels, height, width))


def bound_and_truth(toy: Toy, output: str) -> tuple[float, float]:
    model = toy.model(output)
    return bound_of(model, output), exact_norm(model, toy.shape)


def conv(toy: Toy, x: str, kernel: np.ndarray, **found: object) -> str:
    pad = kernel.shape[2] // 2
    found.setdefault("pads", [pad] * 4)
    return str(toy.node("Conv", x, toy.constant(kernel), **found))


def test_a_tensor_minus_itself_is_nothing() -> None:
    toy = toy_of()
    bound, true = bound_and_truth(toy, toy.node("Sub", "image", toy.node("Identity", "image")))
    assert bound == true == 0.0


def test_a_tensor_twice_is_two() -> None:
    toy = toy_of()
    assert bound_and_truth(toy, toy.node("Add", "image", "image"))[0] == pytest.approx(2, rel=1e-9)


def test_a_reflection_has_norm_one() -> None:
    """x - 2 v v^T x keeps norms; term by term it would be 3."""
    v = np.random.default_rng(0).standard_normal(3)
    v = v / np.linalg.norm(v)
    toy = toy_of()
    reflected = conv(toy, "image", pointwise(-2 * np.outer(v, v)))
    bound, _ = bound_and_truth(toy, toy.node("Add", "image", reflected))
    assert bound == pytest.approx(1.0, rel=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_kernel_and_identity_are_one_kernel(seed: int) -> None:
    kernel = np.random.default_rng(seed).standard_normal((3, 3, 3, 3)) * 0.2
    toy = toy_of()
    bound, true = bound_and_truth(toy, toy.node("Add", conv(toy, "image", kernel), "image"))
    kernel = kernel.astype(np.float32).astype(np.float64)
    joint = kernel.copy()
    joint[:, :, 1, 1] += np.eye(3)
    assert true <= bound == pytest.approx(convolution_norm_bound(joint), rel=1e-9)
    assert bound < 1 + convolution_norm_bound(kernel)


def test_a_chain_with_pointwise_ends_is_one_kernel() -> None:
    """-x + A B x with B the inverse of A: nothing is left, where the terms would say 1 + cond."""
    a = np.array([[2.0, 1.0], [0.0, 0.5]])
    toy = toy_of(2)
    back = conv(toy, conv(toy, "image", pointwise(a)), pointwise(np.linalg.inv(a)))
    bound, true = bound_and_truth(toy, toy.node("Sub", back, "image"))
    assert true <= 1e-6
    assert bound <= 1e-6


@pytest.mark.parametrize("seed", range(8))
def test_a_cut_between_two_windows_is_not_forgotten(seed: int) -> None:
    """Zero padding between two 3x3 convolutions: the composed kernel alone would be too low."""
    rng = np.random.default_rng(seed)
    first = rng.standard_normal((2, 2, 3, 3))
    second = -first.transpose(1, 0, 2, 3)[:, :, ::-1, ::-1] / convolution_norm_bound(first) ** 2
    toy = toy_of(2, 4, 3)
    chain = conv(toy, conv(toy, "image", first), second)
    bound, true = bound_and_truth(toy, toy.node("Add", "image", chain))
    assert true <= bound * (1 + 1e-6)
    assert bound <= 1.52  # term by term: 2


@pytest.mark.parametrize("seed", range(5))
def test_a_nonlinear_branch_costs_one_plus_its_constant(seed: int) -> None:
    kernel = np.random.default_rng(seed).standard_normal((3, 3, 3, 3))
    toy = toy_of()
    branch = conv(toy, toy.node("Relu", "image"), kernel)
    output = toy.node("Add", "image", branch)
    alone = convolution_norm_bound(kernel.astype(np.float32))
    bound = bound_of(toy.model(output), output)
    assert bound == pytest.approx(1 + alone, rel=1e-9)
    replay = Replay(Graph(toy.model(output)), "image", output)
    assert local_norm(replay, toy.shape, np.random.default_rng(seed)) <= bound


def test_blocks_in_a_row_multiply() -> None:
    toy, x = toy_of(), "image"
    for _ in range(12):
        branch = conv(toy, toy.node("Relu", x), pointwise(np.eye(3) * 0.5))
        x = toy.node("Add", x, branch)
    assert bound_of(toy.model(x), x) == pytest.approx(1.5**12, rel=1e-6)


def test_unequal_branches_add_up() -> None:
    """Three terms of different size, with a branch that goes on beside the sum."""
    toy = toy_of()
    parts = [conv(toy, toy.node("Relu", "image"), pointwise(np.eye(3) * s)) for s in (3, 0.1, 1e-9)]
    total = toy.node("Sum", *parts)
    assert bound_of(toy.model(total), total) == pytest.approx(3.1, rel=1e-6)
    joined = toy.node("Concat", total, parts[0], axis=1)
    found = bound_of(toy.model(joined), joined)
    assert np.hypot(3.1, 3) <= found <= 1.01 * np.hypot(3.1, 3)


def test_shares_found_for_some_weights_hold_for_others() -> None:
    """The first sum that is met sees a weight of zero on one of its terms' channels."""
    toy = toy_of(2)
    a, b = toy.node("Split", "image", outputs=2, axis=1, num_outputs=2)
    left = toy.node("Concat", toy.node("Relu", a), toy.constant(np.zeros((1, 1, 6, 5))), axis=1)
    right = toy.node("Concat", toy.constant(np.zeros((1, 1, 6, 5))), toy.node("Abs", b), axis=1)
    total = toy.node("Add", left, right)
    first = toy.node("Mul", total, toy.constant(np.array([1.0, 0.0])[:, None, None]))
    second = toy.node("Mul", total, toy.constant(np.array([0.0, 5.0])[:, None, None]))
    output = toy.node("Concat", second, toy.node("Tanh", toy.node("Add", first, total)), axis=1)
    replay = Replay(Graph(toy.model(output)), "image", output)
    true = local_norm(replay, toy.shape, np.random.default_rng(0))
    assert true <= bound_of(toy.model(output), output)


def test_a_sum_that_broadcasts_counts_every_copy() -> None:
    toy = toy_of(2, 3, 4)
    row = toy.node("ReduceMean", "image", toy.constant([3], np.int64), keepdims=1)
    bound, true = bound_and_truth(toy, toy.node("Add", "image", row))
    assert true <= bound * (1 + 1e-6) <= 2.0 + 1e-4
