"""The head in ONNX Runtime against float64 and exact counting, both kinds."""

import math

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from lipdeploy.core.certificate import count_flips
from lipdeploy.core.errors import InputError
from lipdeploy.core.radius import margin_from_logits, radius_from_margin
from lipdeploy.export.head import HeadSpec, float32_down, float32_up, head_nodes


def session(spec: HeadSpec) -> onnxruntime.InferenceSession:
    """The head alone, with logits as an input."""
    nodes, constants = head_nodes(spec)
    shape = [1, spec.height, spec.width]
    graph = helper.make_graph(
        nodes,
        "head",
        [
            helper.make_tensor_value_info(
                "logits", TensorProto.FLOAT, [1, spec.classes, *shape[1:]]
            ),
            helper.make_tensor_value_info("eps", TensorProto.FLOAT, [spec.budgets]),
        ],
        [
            helper.make_tensor_value_info("mask", TensorProto.UINT8, shape),
            helper.make_tensor_value_info("radius", TensorProto.FLOAT, shape),
            helper.make_tensor_value_info("flips", TensorProto.FLOAT, [1, spec.budgets]),
        ],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    return onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )


def logits_of(kind: int, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Smooth, heavy-tailed, tied on a coarse grid, constant, or almost without margin."""
    if kind == 0:
        return rng.standard_normal(shape) * 0.3
    if kind == 1:
        return rng.standard_cauchy(shape) * 0.01
    if kind == 2:
        return rng.integers(0, 4, shape) / 8
    if kind == 3:
        return np.broadcast_to(rng.standard_normal((shape[0], 1, 1)), shape)
    return rng.standard_normal(shape) * 1e-4


@pytest.mark.parametrize("kind", ["threshold", "sort"])
@pytest.mark.parametrize(("side", "frames"), [(128, 200), (512, 200)])
def test_never_optimistic_against_float64(kind: str, side: int, frames: int) -> None:
    eps = np.array([0.0, 0.1, 0.25, 7.0], np.float32)
    classes, pixels = 3, side * side
    spec = HeadSpec(kind, classes, side, side, len(eps), 1.0000123, 2e-5)
    run = session(spec)
    surplus = 0.0
    for index in range(frames):
        rng = np.random.default_rng(index)
        logits = logits_of(index % 5, rng, (classes, side, side)).astype(np.float32)
        mask, radius, flips = run.run(None, {"logits": logits[None], "eps": eps})
        exact = radius_from_margin(margin_from_logits(logits), spec.lipschitz, spec.slack)
        assert (radius[0] <= exact).all()
        assert np.allclose(radius[0], exact, rtol=1e-5, atol=1e-7)
        assert (mask[0] == logits.argmax(0)).all()
        counts = count_flips(exact, eps.astype(np.float64))
        assert (flips[0] >= counts).all(), (index, flips[0], counts)
        assert (flips[0] <= pixels).all()
        surplus = max(surplus, float((flips[0] - counts).max()) / pixels)
    assert surplus < 0.01  # of the frame, at the worst budget of the worst frame


@pytest.mark.parametrize("kind", ["threshold", "sort"])
def test_exact_ties_between_budget_and_cost_count_as_flipped(kind: str) -> None:
    run = session(HeadSpec(kind, 2, 4, 4, 1, 1 / math.sqrt(2), 0.0))
    logits = np.zeros((1, 2, 4, 4), np.float32)
    logits[0, 0] = 0.5  # radius 0.5 everywhere: 4 pixels cost exactly eps = 1
    _, radius, flips = run.run(None, {"logits": logits, "eps": np.array([1.0], np.float32)})
    assert radius.max() <= 0.5
    assert flips[0, 0] >= 4


@pytest.mark.parametrize("kind", ["threshold", "sort"])
@pytest.mark.parametrize("eps", [0.0, 1e-30, 1e-10, 1e10, 1e30, math.inf, math.nan, -0.5])
def test_budgets_at_the_edge_of_float32(kind: str, eps: float) -> None:
    run = session(HeadSpec(kind, 2, 8, 8, 1, 1.0, 0.0))
    logits = np.random.default_rng(0).standard_normal((1, 2, 8, 8)).astype(np.float32)
    logits[0, :, 0, 0] = 1.0  # one tie: flipped by any budget
    _, radius, flips = run.run(None, {"logits": logits, "eps": np.array([eps], np.float32)})
    size = 1e300 if math.isnan(eps) else abs(float(np.float32(eps)))
    assert flips[0, 0] >= count_flips(radius, size)
    assert 1 <= flips[0, 0] <= 64


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_logits_that_are_no_numbers_claim_nothing(bad: float) -> None:
    run = session(HeadSpec("threshold", 3, 4, 4, 1, 1.0, 0.0))
    logits = np.random.default_rng(0).standard_normal((1, 3, 4, 4)).astype(np.float32)
    logits[0, :, 1, 1] = [bad, 0.0, 1.0] if bad != -math.inf else [bad, bad, bad]
    _, radius, flips = run.run(None, {"logits": logits, "eps": np.array([0.0], np.float32)})
    assert radius[0, 1, 1] == 0
    assert flips[0, 0] >= 1


def test_float32_rounding_to_either_side() -> None:
    for value in (0.1, 1 / 3, 1.0, -0.7, 1e-30):
        assert float32_down(value) <= value <= float32_up(value)
        assert np.float32(float32_down(value)) == float32_down(value)


def test_heads_that_cannot_be_built() -> None:
    with pytest.raises(InputError, match="expected one of threshold, sort"):
        HeadSpec("best", 2, 4, 4, 1, 1.0, 0.0)
    with pytest.raises(InputError, match="smaller size"):
        HeadSpec("sort", 2, 8192, 4096, 1, 1.0, 0.0)
