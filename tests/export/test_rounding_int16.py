"""INT16 activations at level `bounded`: fractions, every order, integers, an adversary, engines."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from lipdeploy.calibration.activations import INT16, activation_tensors, quantized_activations
from lipdeploy.calibration.kernels import int8_weight_trunk, quantized_kernels
from lipdeploy.core.errors import VerificationError
from lipdeploy.core.manifest import Numerics
from lipdeploy.export.fold import folded
from lipdeploy.export.trunk import trunk_model
from lipdeploy.export.verifier.graph import Graph, attributes
from lipdeploy.export.verifier.lipschitz import graph_bound
from lipdeploy.export.verifier.operators import OPERATORS
from lipdeploy.export.verifier.parity import synthetic_frames
from lipdeploy.export.verifier.replay import Replay
from lipdeploy.export.verifier.rounding.arithmetic import FLOAT32
from lipdeploy.export.verifier.rounding.bound import Rounding
from lipdeploy.export.verifier.rounding.clip_check import check_clips
from lipdeploy.export.verifier.rounding.losses import loss_of
from lipdeploy.export.verifier.rounding.summation import check_summation
from lipdeploy.export.verifier.rounding.tails import Tails
from lipdeploy.export.verifier.verification import verify
from lipdeploy.runtime.onnxruntime_session import ENGINE, open_graph
from lipdeploy.runtime.processor import processor_kind
from lipdeploy.training.network import NetworkConfig, build_network
from tests.export.rounding_graphs import (
    ROUNDS,
    adversary,
    chain,
    executed,
    graph_of,
    in_integers,
    int16_graph,
    replayed,
    tree,
)
from tests.export.toy_quantized import file_of, toy_trunk

Array = npt.NDArray[Any]
UNIT = 2.0**-24


def frame(seed: int, side: int = 8) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)


def spread(logits: Array, exact: Array) -> npt.NDArray[np.float64]:
    """Largest error of a logit difference at each pixel."""
    error = logits.astype(np.float64) - exact
    return np.asarray(error.max(0) - error.min(0))


def pair(scale: float, kind: type[np.signedinteger[Any]] = np.int16, zero: int = 0) -> Graph:
    steps = ["s", "z"]
    nodes = [
        helper.make_node("QuantizeLinear", ["image", *steps], ["q"]),
        helper.make_node("DequantizeLinear", ["q", *steps], ["logits"]),
    ]
    constants: dict[str, Array] = {"s": np.array(scale, np.float32), "z": np.array(zero, kind)}
    return graph_of(nodes, constants, [1, 2, 8, 8], [1, 2, 8, 8], opset=21)


@pytest.mark.parametrize("rounds", ROUNDS)
@pytest.mark.parametrize("scale", [1.0, 0.5, 3.1e-5, 0.0123, 7.7])
def test_a_quantizer_errs_by_less_than_its_loss_in_fractions(scale: float, rounds: str) -> None:
    """Ties, their neighbours, both ends of the range and beyond, and noise."""
    graph = pair(scale)
    tails, s = Tails(graph), np.array(scale, np.float32)
    rng = np.random.default_rng(0)
    steps = np.concatenate(
        [rng.integers(-32769, 32769, 300) + 0.5, rng.uniform(-4e4, 4e4, 300), rng.normal(size=100)]
    )
    ends = np.array([32766.5, 32767, 32767.5, 32768, -32768, -32768.5, -32769, 1e9, -1e9, 0])
    x = (np.concatenate([steps, ends]) * scale).astype(np.float32)
    x = np.concatenate([x, np.nextafter(x, np.float32(np.inf)), np.nextafter(x, np.float32(-1e38))])
    q = np.clip(ROUNDS[rounds](x, s), -32768, 32767).astype(np.int16)
    read = q.astype(np.float32) * s
    losses = [loss_of(tails, node, FLOAT32) for node in graph.nodes]
    worst = 0.0
    for value, integer, found in zip(x, q, read, strict=True):
        step = Fraction(float(s))
        clipped = min(max(Fraction(float(value)), -32768 * step), 32767 * step)
        errors = abs(integer * step - clipped), abs(Fraction(float(found)) - integer * step)
        inputs = np.array(float(value)), np.array(float(integer * step))
        for loss, given, error in zip(losses, inputs, errors, strict=True):
            assert loss.absolute is not None
            size = float(loss.absolute([given]))
            assert error <= Fraction(loss.sum_factor * size + float(loss.step) + loss.tiny)
        worst = max(worst, float(errors[0] / step))
    assert worst > 0.499  # half a step is what it costs


@pytest.mark.parametrize("residual", [False, True])
def test_no_order_no_rounding_of_ties_and_no_integers_exceed_the_bound(residual: bool) -> None:
    graph = int16_graph(1, residual=residual)
    rounding, rng = Rounding(graph), np.random.default_rng(0)
    whole = rounding.of_model()
    for seed in range(3):
        image = frame(20 + seed)
        exact = replayed(graph, image)["logits"][0]
        assert np.allclose(exact, Replay(graph)(image), rtol=1e-12, atol=1e-12)
        bound = rounding.of_frame(image)
        assert (bound.differences <= whole.differences).all()
        orders = [chain(rng, fused=True), chain(rng, fused=False), tree(rng)]
        for add_up, rounds in itertools.product(orders, ROUNDS.values()):
            error = spread(executed(graph, image, add_up, rounds), exact)
            assert (error <= bound.differences).all()
        for rounds in ROUNDS.values():
            error = spread(in_integers(graph, image, rounds), exact)
            assert (error <= bound.differences).all()
            assert error.max() > 1e-7  # it does round


def test_the_clips_of_this_graph_are_reached() -> None:
    graph = int16_graph(1)
    found = replayed(graph, frame(20))
    for name, limit in (("low", 0.3), ("joined", 0.4)):
        assert (np.abs(found[name]) > limit).mean() > 0.01


@pytest.mark.parametrize("residual", [False, True])
def test_half_a_step_in_the_worst_direction_everywhere_stays_below(residual: bool) -> None:
    """Quantizers and sums both err towards the logit difference of one pixel."""
    graph, image = int16_graph(3, residual=residual), frame(5)
    base = replayed(graph, image)
    bound, ratios = Rounding(graph).of_frame(image).differences, []
    for y, x in ((3, 4), (7, 6)):
        names = ("c0", "c1", "c2", "low_16", "joined_16")
        ways = {name: gradient(graph, image, name, y, x) for name in names}
        for add_up in (None, adversary(ways, UNIT)):
            found = replayed(graph, image, add_up=add_up, pushed=ways)["logits"][0]
            error = spread(found, base["logits"][0])
            assert (error <= bound).all()
            ratios.append(error[y, x] / bound[y, x])
    assert max(ratios) > 0.06  # the bound is put to the test


def gradient(graph: Graph, image: Array, name: str, y: int, x: int) -> Array:
    """How the first logit less the second at one pixel moves with each element of a tensor."""
    base = replayed(graph, image)
    rest = base["logits"][0, :, y, x]
    found = np.zeros(base[name].shape[1:])
    for place in np.ndindex(found.shape):
        moved = base[name].copy()
        moved[(0, *place)] += 1e-6
        logits = replayed(graph, image, {name: moved})["logits"][0, :, y, x]
        found[place] = (logits[0] - logits[1]) - (rest[0] - rest[1])
    return found


def test_bytes_that_are_whole_steps_lose_nothing() -> None:
    graph = int16_graph(1)
    losses = {n.input[0]: loss_of(Tails(graph), n, FLOAT32) for n in graph.nodes if is_pair(n)}
    assert losses["centred"].step == losses["centred"].sum_factor == 0.0
    assert float(losses["low"].step) > 0.5 * 0.3 / 32767
    shifted = int16_graph(1).model
    for tensor in shifted.graph.initializer:  # no longer whole steps
        if tensor.name == "grey":
            grey = numpy_helper.to_array(tensor) + np.float32(0.1)
            tensor.CopyFrom(numpy_helper.from_array(grey, tensor.name))
    graph = Graph(shifted)
    node = next(n for n in graph.nodes if is_pair(n) and n.input[0] == "centred")
    assert float(loss_of(Tails(graph), node, FLOAT32).step) >= 0.25


def is_pair(node: onnx.NodeProto) -> bool:
    return node.op_type == "QuantizeLinear"


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (lambda: pair(0.1, np.int8), "INT8; the bound on rounding is of FLOAT and of activations"),
        (lambda: pair(0.1, zero=3), "zero point 3; the bound on rounding is of int16"),
        (lambda: pair(1e-8), "a scale is beyond"),
    ],
)
def test_other_quantizers_are_refused(graph: Callable[[], Graph], message: str) -> None:
    with pytest.raises(VerificationError, match=message):
        Rounding(graph())


@pytest.fixture(scope="module")
def network() -> Graph:
    """A network of size XS in INT16; some of its activations reach the clips."""
    torch.manual_seed(0)
    trunk = trunk_model(
        folded(build_network(NetworkConfig(3, arch="fcn", size="XS")).eval()), 64, 64
    )
    quantized = int8_weight_trunk(trunk, quantized_kernels(trunk))
    limits = dict.fromkeys(activation_tensors(quantized), 0.6)
    return Graph(quantized_activations(quantized, limits, INT16))


def test_the_engine_stays_below_the_bound_of_the_frame(network: Graph) -> None:
    rounding, run = Rounding(network), open_graph(network.model.SerializeToString(), 1)
    whole = rounding.of_model()
    for image in synthetic_frames(4, 64, 64, seed=2):
        (found,) = run(["logits"], {"image": image[None]})
        bound = rounding.of_frame(image)
        error = spread(found[0], rounding.replay(image))
        assert (error <= bound.differences).all()
        assert (bound.differences <= whole.differences).all()
        assert error.max() > 1e-6


def without_clips(data: bytes, threads: int) -> Any:
    """ONNX Runtime on the file without its quantizers: what OpenVINO makes of INT16."""
    model = onnx.load_model_from_string(data)
    names, kept = {}, []
    for node in model.graph.node:
        if node.op_type == "QuantizeLinear":
            names[node.output[0]] = node.input[0]
        elif node.op_type == "DequantizeLinear" and node.input[0] in names:
            names[node.output[0]] = names[node.input[0]]
        else:
            kept.append(node)
    for node in kept:
        node.input[:] = [names.get(name, name) for name in node.input]
    del model.graph.node[:]
    model.graph.node.extend(kept)
    return open_graph(bytes(model.SerializeToString()), threads)


def test_an_engine_that_drops_clips_is_found_out(network: Graph) -> None:
    assert check_summation(network, ENGINE, open_graph) >= 4
    assert check_clips(network, ENGINE, open_graph) >= 6
    with pytest.raises(VerificationError, match="times the error that any order"):
        check_summation(network, "other", without_clips)
    with pytest.raises(VerificationError, match="does not keep the clips of INT16 activations"):
        check_clips(network, "other", without_clips)


def test_openvino_drops_them() -> None:
    engine = pytest.importorskip("lipdeploy.runtime.openvino_session", reason="needs openvino")
    with pytest.raises(VerificationError, match="does not keep the clips"):
        check_clips(int16_graph(1, side=16), engine.ENGINE, engine.open_graph)


def integers(wrap: bool) -> Callable[[bytes, int], Any]:
    """An engine that sums in integers, of 32 bits where it wraps."""

    def opened(data: bytes, _: int) -> Any:
        graph = onnx.load_model_from_string(data).graph
        stored = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
        nodes = {n.op_type: n for n in graph.node}
        kernel, last = graph.node[0], nodes["Conv"]
        scale = stored[nodes["QuantizeLinear"].input[1]]

        def run(_: Sequence[str], feeds: Mapping[str, Array]) -> list[Array]:
            (x,) = feeds.values()
            q = np.clip(np.rint(x / scale), -32768, 32767)
            parts = q.astype(np.float64), stored[kernel.input[0]].astype(np.float64)
            total = OPERATORS["Conv"](attributes(last), *parts)[0].astype(np.int64)
            total = total.astype(np.int32) if wrap else total
            factor = scale * stored[kernel.input[1]]
            return [total.astype(np.float32) * factor[:, None, None]]

        return run

    return opened


def test_an_accumulator_that_overflows_is_found_out() -> None:
    rng = np.random.default_rng(0)
    constants: dict[str, Array] = {
        "k8": rng.integers(-127, 128, (4, 64, 3, 3)).astype(np.int8),
        "ks": np.full(4, 0.002, np.float32),
        "kz": np.zeros(4, np.int8),
        "s": np.array(1e-4, np.float32),
        "z": np.zeros((), np.int16),
    }
    nodes = [
        helper.make_node("DequantizeLinear", ["k8", "ks", "kz"], ["k"], axis=0),
        helper.make_node("QuantizeLinear", ["image", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["x"]),
        helper.make_node("Conv", ["x", "k"], ["logits"], pads=[1, 1, 1, 1]),
    ]
    graph = graph_of(nodes, constants, [1, 64, 6, 6], [1, 4, 6, 6], TensorProto.FLOAT, opset=21)
    assert check_summation(graph, "wide", integers(wrap=False)) == 1
    with pytest.raises(VerificationError, match="times the error that any order"):
        check_summation(graph, "narrow", integers(wrap=True))


def bounded_file(path: Path, factor: float = 1.001, precision: str = "int16") -> Path:
    trunk = toy_trunk(precision).model()
    graph = Graph(trunk)
    slack = factor * Rounding(graph).of_model().slack if precision == "int16" else 0.1
    evidence = {"rule": "bounded", "summation": "any order", "engine": ENGINE}
    evidence["processor"] = processor_kind()
    numerics = Numerics(precision, slack, "bounded", evidence)
    onnx.save_model(file_of(trunk, graph_bound(graph).lipschitz, numerics), str(path))
    return path


def test_an_honest_int16_file_passes(tmp_path: Path) -> None:
    found = verify(bounded_file(tmp_path / "m.onnx"), frames=2, isolated=False)
    assert found.passed, found.failure
    assert found.record is not None
    assert (found.level, found.precision) == ("bounded", "int16")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"factor": 0.9}, "is not earned: rounding is bounded by D = .*--precision int16 --level"),
        ({"precision": "int8"}, "level 'bounded' at precision 'int8' cannot be checked"),
        ({"precision": "fp16"}, "level 'bounded' at precision 'fp16' cannot be checked"),
    ],
)
def test_what_it_may_not_claim(given: dict[str, Any], message: str, tmp_path: Path) -> None:
    found = verify(bounded_file(tmp_path / "m.onnx", **given), frames=2, isolated=False)
    assert not found.passed
    with pytest.raises(VerificationError, match=message):
        raise VerificationError(str(found.failure))
