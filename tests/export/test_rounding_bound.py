"""The bound on rounding against float32 in many orders, exact fractions, and an adversary."""

import itertools
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from lipdeploy.core.errors import VerificationError
from lipdeploy.export.fold import folded
from lipdeploy.export.opset import IR_VERSION, OPSET
from lipdeploy.export.trunk import trunk_model
from lipdeploy.export.verifier.execution import with_logits
from lipdeploy.export.verifier.graph import Graph, load_model
from lipdeploy.export.verifier.parity import synthetic_frames
from lipdeploy.export.verifier.replay import Replay
from lipdeploy.export.verifier.rounding.arithmetic import FLOAT32, FLOAT64
from lipdeploy.export.verifier.rounding.bound import Rounding
from lipdeploy.export.verifier.rounding.tails import Tails
from lipdeploy.runtime.onnxruntime_session import open_graph
from lipdeploy.training.network import NetworkConfig, build_network
from tests.export.rounding_graphs import (
    adversary,
    chain,
    executed,
    graph_of,
    local_graph,
    replayed,
    tree,
)

BUNDLED = Path(__file__).parents[2] / "samples" / "scene_s.onnx"
UNIT = 2.0**-24


def frame(seed: int, side: int = 8) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)


def difference(
    logits: npt.NDArray[np.floating], exact: npt.NDArray[np.floating]
) -> npt.NDArray[np.float64]:
    """Largest error of a logit difference at each pixel."""
    error = logits.astype(np.float64) - exact
    return np.asarray(error.max(0) - error.min(0))


@pytest.mark.parametrize("seed", range(6))
def test_a_sum_in_any_order_errs_by_less_than_the_factors_say(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 200))
    x, w = (rng.normal(0, 10.0 ** rng.uniform(-3, 3, n)).astype(np.float32) for _ in range(2))
    exact = [Fraction(float(a)) * Fraction(float(b)) for a, b in zip(x, w, strict=True)]
    a, c = FLOAT32.sum_factors(n)
    size = float(sum(abs(t) for t in exact))
    total_exact = sum(exact, Fraction(0))
    bound = Fraction(a) * Fraction(size) * Fraction(1.0000001) + Fraction(c) * abs(total_exact)
    for _ in range(20):
        total = np.float32(0)
        for k in rng.permutation(n):
            total = total + x[k] * w[k]
        assert abs(Fraction(float(total)) - total_exact) <= bound
    # the worst chain within the model: every addition rounds up by the unit
    terms = np.array([float(t) for t in sorted(exact, reverse=True)])
    lost = UNIT * (np.abs(np.cumsum(terms))[1:].sum() + np.abs(terms).sum())
    assert lost <= float(bound)


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("seed", [1, 2])
def test_no_order_of_sums_and_no_fma_exceeds_the_bound_of_the_frame(
    seed: int, residual: bool
) -> None:
    graph = local_graph(seed, residual=residual)
    rounding, replay, rng = Rounding(graph), Replay(graph), np.random.default_rng(seed)
    whole = rounding.of_model()
    for index in range(3):
        image = frame(10 * seed + index)
        exact, bound = replay(image), rounding.of_frame(image)
        assert (bound.differences <= whole.differences).all()
        orders = [chain(rng, fused=True), chain(rng, fused=False), tree(rng)]
        for add_up in itertools.chain(*[orders] * 4):
            error = difference(executed(graph, image, add_up), exact)
            assert (error <= bound.differences).all()
            assert error.max() > 0


@pytest.mark.parametrize("terms", [64, 256, 1024])
def test_true_float32_comes_near_the_bound_of_one_layer(terms: int) -> None:
    """1 plus many times a little more than half a unit: every addition is rounded up, by u."""
    x = np.full((terms, 1, 1), UNIT * (1 + 2.0**-10))
    x[0] = 1.0
    kernel = np.concatenate([np.ones((1, terms, 1, 1)), -np.ones((1, terms, 1, 1))])
    node = helper.make_node("Conv", ["image", "k"], ["logits"])
    graph = graph_of([node], {"k": kernel}, [1, terms, 1, 1], [1, 2, 1, 1])
    total = np.float32(0)
    for term in x.astype(np.float32).ravel():
        total = total + term
    exact = sum((Fraction(float(v)) for v in x.astype(np.float32).ravel()), Fraction(0))
    error = 2 * float(Fraction(float(total)) - exact)  # the other class errs by as much downwards
    (bound,) = Rounding(graph).of_frame(x).differences.ravel()
    assert 0.8 * bound < error <= bound


@pytest.mark.parametrize("residual", [False, True])
def test_rounding_that_is_chosen_by_an_adversary_stays_below(residual: bool) -> None:
    """Each convolution errs towards the logit difference of one pixel: bound and attack meet."""
    graph = local_graph(3, residual=residual)
    rounding, replay = Rounding(graph), Replay(graph)
    image = frame(5)
    exact, bound = replay(image), rounding.of_frame(image).differences
    ratios = []
    for y, x in ((3, 4), (7, 6)):
        ways = {name: _gradient(graph, image, name, y, x) for name in ("c0", "c1", "c2")}
        found = replayed(graph, image, add_up=adversary(ways, UNIT))["logits"][0]
        error = difference(found, exact)
        assert (error <= bound).all()
        ratios.append(error[y, x] / bound[y, x])
    # far more than an order of sums finds, so the assertion above is put to the test
    assert max(ratios) > 0.01


def _gradient(
    graph: Graph, image: npt.NDArray[np.uint8], name: str, y: int, x: int
) -> npt.NDArray[np.float64]:
    """How the first logit less the second at one pixel moves with each element of a tensor."""

    def gap(moved: npt.NDArray[np.float64]) -> float:
        logits = replayed(graph, image, {name: moved})["logits"][0, :, y, x]
        return float(logits[0] - logits[1])

    before = replayed(graph, image)[name]
    found = np.zeros(before.shape[1:])
    for place in np.ndindex(found.shape):
        moved = before.copy()
        moved[(0, *place)] += 1e-6
        found[place] = gap(moved) - gap(before)
    return found


def test_the_bound_with_a_reach_holds_for_all_frames_within_it() -> None:
    graph = local_graph(4)
    rounding, replay, rng = Rounding(graph), Replay(graph), np.random.default_rng(0)
    image = frame(6)
    for reach in (0.05, 0.5, 5.0):
        ball = rounding.of_frame(image, reach).differences
        for _ in range(4):
            step = rng.normal(size=image.shape)
            moved = image + 255 * reach * step / np.linalg.norm(step)
            other = rounding.of_frame(np.asarray(moved, np.float64)).differences
            assert (other <= ball).all()
            near = np.clip(np.rint(moved), 0, 255).astype(np.uint8)
            if np.linalg.norm((near.astype(float) - image) / 255) <= reach:
                error = difference(executed(graph, near, tree(rng)), replay(near))
                assert (error <= ball).all()


def test_an_error_behind_the_weights_of_the_tail_moves_the_logits_no_further() -> None:
    """Any error of any tensor, with a sum that the verifier would otherwise join to one map."""
    graph, rng, image = local_graph(5, residual=True), np.random.default_rng(1), frame(7)
    tails = Tails(graph)
    tail = tails.tail("logits")
    base = replayed(graph, image)
    for node in graph.nodes:
        name = node.output[0]
        if node.op_type not in ("Conv", "Max", "Min", "Add", "Concat"):
            continue
        weights = tail.weights(node)
        for size in (1e-3, 1.0):
            step = size * rng.normal(size=base[name].shape)
            moved = replayed(graph, image, {name: base[name] + step})["logits"]
            far = np.linalg.norm(moved - base["logits"])
            assert far <= np.linalg.norm(weights * step) * (1 + 1e-9)


@pytest.fixture(scope="module")
def small_network() -> Graph:
    torch.manual_seed(0)
    network = build_network(NetworkConfig(3, arch="fcn", size="XS")).eval()
    return Graph(trunk_model(folded(network), 64, 64))


def test_model_above_frame_above_what_the_engine_does(small_network: Graph) -> None:
    _ordered(small_network, 6)


def test_the_bundled_network_is_bounded_too() -> None:
    """Its receptive field is the whole frame, so the bound is far above the margins, and true."""
    _ordered(Graph(load_model(BUNDLED)), 1)


def _ordered(graph: Graph, frames: int) -> None:
    rounding, exact = Rounding(graph), Rounding(graph, FLOAT64)
    names = [i.name for i in graph.model.graph.input]
    run = open_graph(with_logits(graph), 1)
    whole = rounding.of_model()
    assert exact.of_model().slack < 2.0**-28 * whole.slack
    for image in synthetic_frames(frames, *rounding.shape, seed=2):
        bound = rounding.of_frame(image)
        feeds: dict[str, npt.NDArray[Any]] = {"image": image[None]}
        feeds["eps"] = np.zeros(1, np.float32)
        (found,) = run(["logits"], {name: feeds[name] for name in names})
        error = difference(found[0], rounding.replay(image))
        assert (error <= bound.differences).all()
        assert (bound.differences <= whole.differences).all()
        assert error.max() > 1e-9


def test_the_field_of_the_small_network_does_not_grow_with_the_frame(small_network: Graph) -> None:
    assert Rounding(small_network).of_model().field == (39, 39)


@pytest.mark.parametrize("op", ["Sigmoid", "LeakyRelu"])
def test_an_operator_without_a_rule_is_refused_by_name(op: str) -> None:
    node = helper.make_node(op, ["image"], ["logits"], name="here")
    graph = graph_of([node], {}, [1, 2, 4, 4], [1, 2, 4, 4])
    with pytest.raises(VerificationError, match=f"{op} 'here'.*its rounding has no bound"):
        Rounding(graph)


def test_half_precision_inside_is_refused() -> None:
    nodes = [
        helper.make_node("Cast", ["image"], ["half"], to=TensorProto.FLOAT16),
        helper.make_node("Cast", ["half"], ["logits"], to=TensorProto.FLOAT),
    ]
    graph = graph_of(nodes, {}, [1, 2, 4, 4], [1, 2, 4, 4])
    with pytest.raises(VerificationError, match="FLOAT16"):
        Rounding(graph)


def test_a_weight_below_the_normal_numbers_is_refused() -> None:
    node = helper.make_node("Conv", ["image", "kernel"], ["logits"])
    kernel = np.full((2, 2, 1, 1), 1e-40)
    with pytest.raises(VerificationError, match="holds values beyond"):
        Rounding(graph_of([node], {"kernel": kernel}, [1, 2, 4, 4], [1, 2, 4, 4]))


def test_a_constant_between_convolution_and_residual_hides_no_terms() -> None:
    """An engine folds the constant into the bias, then the residual into the loop of the sum."""
    channels, kept, side = 1024, 16, 4
    kernel = np.ones((kept, channels, 1, 1), np.float32)
    kernel[:, :kept] = 0
    constants = {
        "kernel": kernel,
        "constant": np.full((1, kept, 1, 1), 2.0**-20, np.float32),
        "start": np.array([0]),
        "end": np.array([kept]),
        "axis": np.array([1]),
    }
    x = np.full((1, channels, side, side), 0.9 * 2.0**-24, np.float32)
    x[:, :kept] = 1.0
    bounds = []
    for between in (False, True):
        nodes = [helper.make_node("Conv", ["x", "kernel"], ["sum"])]
        if between:
            nodes.append(helper.make_node("Add", ["sum", "constant"], ["moved"]))
        nodes += [
            helper.make_node("Slice", ["x", "start", "end", "axis"], ["residual"]),
            helper.make_node("Add", ["moved" if between else "sum", "residual"], ["logits"]),
        ]
        graph = helper.make_graph(
            nodes,
            "chain",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)],
            [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, kept, side, side])],
            [numpy_helper.from_array(value, name) for name, value in constants.items()],
        )
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION
        )
        rounding = Rounding(Graph(model), image="x", logits="logits")
        bounds.append(rounding._bound(x.astype(np.float64), np.zeros((side, side))).logits.max())
    assert bounds[1] >= bounds[0]
