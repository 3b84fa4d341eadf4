"""Every rule against the exact constant of thousands of small random graphs.

Linear graphs: the largest singular value of the matrix that ONNX Runtime computes, in float32, so
that the comparison allows for its rounding. Others: Jacobians of the float64 replay at random
points, which can only fall short of the constant. The replay itself is compared with ONNX Runtime.
"""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lipdeploy.core.errors import VerificationError
from lipdeploy.export.verifier.graph import Graph
from lipdeploy.export.verifier.replay import Replay
from lipdeploy.export.verifier.rules import RULES
from tests.export.toy_graphs import Toy, bound_of, exact_norm, local_norm, run_onnxruntime
from tests.export.toy_nonlinear import NONLINEAR
from tests.export.toy_operators import LINEAR, Step

FLOAT32 = 3e-6  # relative error of singular values of a matrix from float32 products
EXACT = 1.0 + 1e-5
SEEDS = st.integers(0, 2**31)

# How far the bound is above the largest singular value in the median of fixed graphs. Elsewhere it
# equals it. A frame of a few pixels falls short of the infinite lattice that convolutions are
# bounded on, and by a factor of 20 where most of the operator cancels on it.
TYPICAL_RATIO = {
    "average_pool": EXACT,  # ceil_mode, where the divisor that engines agree on is taken, is above
    "circular_conv": 1.8,
    "conv": 1.2,
    "conv_transpose": 1.2,
    "depth_to_space": 1.1,
    "fake_quantized": 1.2,
    "quantized": 1.2,
    "residual": 1.3,
    "resize": EXACT,  # nearest, where float32 may choose another neighbour: both are counted
    "strided_residual": 1.2,
}


def quick(examples: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Settings of a property that is checked on many graphs."""
    skipped = [HealthCheck.too_slow, HealthCheck.data_too_large]
    return settings(
        max_examples=examples, deadline=None, database=None, suppress_health_check=skipped
    )


def start(rng: np.random.Generator) -> Toy:
    return Toy((1, *(int(v) for v in (rng.integers(1, 4), *rng.integers(3, 6, 2)))))


def engines_differ(toy: Toy, output: str) -> bool:
    """A window over the end that ONNX and ONNX Runtime count differently is refused."""
    try:
        bound_of(toy.model(output), output)
    except VerificationError as error:
        assert "engines differ on ceil_mode" in str(error)  # noqa: PT017, any other is a failure
        return True
    return False


def replays_like_onnxruntime(toy: Toy, output: str, rng: np.random.Generator) -> Replay:
    model = toy.model(output)
    replay = Replay(Graph(model), "image", output)
    images = rng.standard_normal((2, *toy.shape)).astype(np.float32)
    for image, expected in zip(images, run_onnxruntime(model, images), strict=True):
        found = replay.run(image).ravel()
        assert np.abs(found - expected).max() <= 1e-5 * (1 + np.abs(expected).max())
    return replay


@pytest.mark.parametrize("step", LINEAR, ids=lambda step: step.__name__)
@quick(50)
@given(seed=SEEDS)
def test_a_linear_operator_is_bounded_by_its_norm(step: Step, seed: int) -> None:
    rng = np.random.default_rng(seed)
    toy = start(rng)
    output = step(rng, toy, "image")
    if engines_differ(toy, output):
        return
    true, bound = exact_norm(toy.model(output), toy.shape), bound_of(toy.model(output), output)
    assert true <= bound * (1 + FLOAT32) + 1e-6
    if true > 1e-2 and step.__name__ not in TYPICAL_RATIO:
        assert bound <= true * EXACT * (1 + FLOAT32)
    replays_like_onnxruntime(toy, output, rng)


@pytest.mark.parametrize("name", TYPICAL_RATIO)
def test_a_bound_is_seldom_far_above_the_norm(name: str) -> None:
    (step,) = (step for step in LINEAR if step.__name__ == name)
    ratios = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        toy = start(rng)
        output = step(rng, toy, "image")
        if not engines_differ(toy, output):
            true = exact_norm(toy.model(output), toy.shape)
            ratios.append(bound_of(toy.model(output), output) / true)
    assert np.median(ratios) <= TYPICAL_RATIO[name]


@pytest.mark.parametrize("step", NONLINEAR, ids=lambda step: step.__name__)
@quick(40)
@given(seed=SEEDS)
def test_another_operator_is_never_bounded_below_a_jacobian(step: Step, seed: int) -> None:
    rng = np.random.default_rng(seed)
    toy = start(rng)
    output = step(rng, toy, "image")
    if engines_differ(toy, output):
        return
    replay = replays_like_onnxruntime(toy, output, rng)
    assert local_norm(replay, toy.shape, rng) <= bound_of(toy.model(output), output) * (1 + 1e-5)


# Operators that need four axes with room for a window; the others in a chain may end it.
CHAINED = tuple(
    step
    for step in (*LINEAR, *NONLINEAR)
    if step.__name__ not in ("gemm", "reduce_mean", "matmul", "mul", "shift", "space_to_depth")
)


@quick(450)
@given(seed=SEEDS)
def test_chains_of_operators_are_never_bounded_below_a_jacobian(seed: int) -> None:
    rng = np.random.default_rng(seed)
    toy = Toy((1, 2, 5, 4))
    tensor = "image"
    for _ in range(int(rng.integers(2, 5))):
        step = CHAINED[int(rng.integers(len(CHAINED)))]
        if min(toy.shape_of(tensor)[2:]) >= 3 and np.prod(toy.shape_of(tensor)) < 400:
            tensor = step(rng, toy, tensor)
    if tensor == "image" or engines_differ(toy, tensor):
        return
    replay = Replay(Graph(toy.model(tensor)), "image", tensor)
    bound = bound_of(toy.model(tensor), tensor)
    found = local_norm(replay, toy.shape, rng, points=2)
    assert found <= bound * (1 + 1e-5) + 1e-7
    assert np.isfinite(bound)


def test_every_known_operator_is_tried() -> None:
    tried = set()
    for step in (*LINEAR, *NONLINEAR):
        for seed in range(40):
            toy = start(np.random.default_rng(seed))
            step(np.random.default_rng(seed), toy, "image")
            tried |= {node.op_type for node in toy.nodes}
    assert set(RULES) <= tried
