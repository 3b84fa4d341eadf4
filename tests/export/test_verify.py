"""`lipdeploy verify`: a valid file passes, a tampered one is named."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from lipdeploy.cli import main
from lipdeploy.export.fold import folded
from lipdeploy.export.trunk import trunk_model
from lipdeploy.export.verifier.graph import Graph, load_model
from lipdeploy.export.verifier.lipschitz import graph_bound
from lipdeploy.export.verifier.replay import Replay
from lipdeploy.export.verifier.verification import verify
from tests.export.conftest import trained_like
from tests.export.torch_graph import TorchGraph


def test_valid_file_passes(model_64: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(model_64)]) == 0
    assert "PASSED | L <= 1.0000" in capsys.readouterr().out
    assert main(["verify", str(model_64), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["passed"] is True


def constant(model: onnx.ModelProto, name: str) -> TensorProto:
    found: TensorProto = next(t for t in model.graph.initializer if t.name == name)
    return found


def replace_constant(
    model: onnx.ModelProto, name: str, change: Callable[[np.ndarray], np.ndarray]
) -> None:
    tensor = constant(model, name)
    array = change(numpy_helper.to_array(tensor)).astype(numpy_helper.to_array(tensor).dtype)
    tensor.CopyFrom(numpy_helper.from_array(array, name))


def node(model: onnx.ModelProto, name: str) -> onnx.NodeProto:
    nodes = model.graph.node
    found: onnx.NodeProto = next(n for n in nodes if n.name == name or name in n.output)
    return found


def metadata(model: onnx.ModelProto, key: str, value: object) -> None:
    entry = next(p for p in model.metadata_props if p.key == key)
    entry.value = json.dumps(value)


def larger_weight(model: onnx.ModelProto) -> None:
    replace_constant(model, "network.stages.1.blocks.0.first.weight", lambda w: w * 1.01)


def other_weight_same_norm(model: onnx.ModelProto) -> None:
    replace_constant(model, "network.aspp.fuse.weight", lambda w: -w)


def lower_lipschitz(model: onnx.ModelProto) -> None:
    metadata(model, "lipdeploy.lipschitz", 0.99)


def larger_radius(model: onnx.ModelProto) -> None:
    replace_constant(model, "head/radius_per_margin", lambda x: x * 1.01)


def no_slack(model: onnx.ModelProto) -> None:
    replace_constant(model, "head/twice_slack", lambda x: x * 0)


def divided_eps(model: onnx.ModelProto) -> None:
    replace_constant(model, "head/budget_inflation", lambda x: x / 4)


def flipped_comparison(model: onnx.ModelProto) -> None:
    node(model, "head/wins_1").op_type = "Less"


def first_step_skipped(model: onnx.ModelProto) -> None:
    node(model, "head/fits_3").input[1] = "head/low_2"


def other_stride(model: onnx.ModelProto) -> None:
    entry = next(n for n in model.graph.node if n.op_type == "Conv")
    next(a for a in entry.attribute if a.name == "strides").ints[:] = [1, 1]


def shifted_image(model: onnx.ModelProto) -> None:
    name = next(n for n in model.graph.node if n.op_type == "Sub").input[1]
    replace_constant(model, name, lambda x: x - 100)


def extra_add(model: onnx.ModelProto) -> None:
    shuffle = next(n for n in model.graph.node if n.op_type == "DepthToSpace")
    before = shuffle.input[0]
    shuffle.input[0] = "doubled"
    index = list(model.graph.node).index(shuffle)
    model.graph.node.insert(index, helper.make_node("Add", [before, before], ["doubled"]))


def unknown_operator(model: onnx.ModelProto) -> None:
    shuffle = next(n for n in model.graph.node if n.op_type == "DepthToSpace")
    before = shuffle.input[0]
    shuffle.input[0] = "bent"
    index = list(model.graph.node).index(shuffle)
    model.graph.node.insert(index, helper.make_node("Exp", [before], ["bent"]))


def other_mask(model: onnx.ModelProto) -> None:
    node(model, "mask").input[0] = "head/winner_frame"
    replace_constant(model, "head/index_1", lambda x: x + 1)


def not_a_number(model: onnx.ModelProto) -> None:
    replace_constant(model, "network.stages.0.entry.weight", lambda w: w * np.nan)


def claims_more(model: onnx.ModelProto) -> None:
    metadata(model, "lipdeploy.schema", 99)


def inflated_level(model: onnx.ModelProto) -> None:
    metadata(model, "lipdeploy.numerics", NUMERICS | {"level": "proved"})


def thin_evidence(model: onnx.ModelProto) -> None:
    evidence = {"frames": 999, "attacked_frames": 9, "largest_error": 0.0, "sigma": 0.0}
    metadata(model, "lipdeploy.numerics", NUMERICS | {"evidence": evidence})


def other_opset(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = 19


def hidden_function(model: onnx.ModelProto) -> None:
    body = [helper.make_node("Add", ["x", "x"], ["y"])]
    opsets = [helper.make_opsetid("", 18)]
    model.functions.append(helper.make_function("", "Neg", ["x"], ["y"], body, opsets))


def broken_numerics(model: onnx.ModelProto) -> None:
    metadata(model, "lipdeploy.numerics", {"level": "none"})


def unknown_head(model: onnx.ModelProto) -> None:
    metadata(model, "lipdeploy.head", {"kind": "best", "budgets": 2})


NUMERICS = {"precision": "float32", "slack": 1e-6, "level": "statistical", "evidence": {}}


@pytest.mark.parametrize(
    ("tamper", "message"),
    [
        (larger_weight, "network.stages.1.blocks.0.first"),
        (other_weight_same_norm, "hash"),
        (lower_lipschitz, "head/radius_per_margin"),
        (larger_radius, "head/radius_per_margin"),
        (no_slack, "head/twice_slack"),
        (divided_eps, "head/budget_inflation"),
        (flipped_comparison, "head/wins_1|Greater_wins_1"),
        (first_step_skipped, "fits_3"),
        (other_stride, "malformed|interface|logits"),
        (shifted_image, "hash"),
        (extra_add, "L is bounded by 2.0"),
        (unknown_operator, "Exp"),
        (other_mask, "head/index_1"),
        (not_a_number, "not finite"),
        (claims_more, "schema 99"),
        (inflated_level, "head/twice_slack|proved"),
        (thin_evidence, "head/twice_slack|not earned"),
        (other_opset, "opset 18 alone"),
        (hidden_function, "1 functions"),
        (broken_numerics, "broken lipdeploy metadata"),
        (unknown_head, "expected one of threshold, sort"),
    ],
)
def test_tampering_is_found_and_named(
    model_64: Path, tmp_path: Path, tamper: Callable[[onnx.ModelProto], None], message: str
) -> None:
    model = load_model(model_64)
    tamper(model)
    path = tmp_path / "bad.onnx"
    onnx.save_model(model, str(path))
    found = verify(path)
    assert not found.passed
    assert any(part in str(found.failure) for part in message.split("|")), found.failure
    assert main(["verify", str(path)]) == 3


@pytest.mark.parametrize("level", ["proved", "bounded", "statistical"])
def test_a_level_must_be_earned(model_64: Path, tmp_path: Path, level: str) -> None:
    """The file is honest but for its level: 24 frames carry none of these."""
    model = load_model(model_64)
    entry = next(p for p in model.metadata_props if p.key == "lipdeploy.numerics")
    entry.value = json.dumps(json.loads(entry.value) | {"level": level})
    onnx.save_model(model, str(tmp_path / "m.onnx"))
    found = verify(tmp_path / "m.onnx")
    assert not found.passed
    assert "level" in str(found.failure)


def test_files_that_are_no_models(tmp_path: Path, model_64: Path) -> None:
    cut = tmp_path / "cut.onnx"
    cut.write_bytes(model_64.read_bytes()[:5000])
    assert main(["verify", str(cut)]) == 3
    (tmp_path / "text.onnx").write_text("no model")
    assert main(["verify", str(tmp_path / "text.onnx")]) == 3
    assert main(["verify", str(tmp_path / "none.onnx")]) == 2


def trunk(seed: int) -> Graph:
    torch.manual_seed(seed)
    return Graph(trunk_model(folded(trained_like(2)), 16, 16))


def test_bound_is_above_the_dense_jacobian_and_replay_is_the_graph() -> None:
    graph = trunk(0)
    bound = graph_bound(graph).lipschitz
    exact = TorchGraph(graph, torch.float64)
    rng = np.random.default_rng(0)
    frame = rng.integers(0, 256, (16, 16, 3), np.uint8)
    image = torch.from_numpy(frame).permute(2, 0, 1)[None].double() / 255
    found = torch.autograd.functional.jacobian(exact, image).reshape(2 * 256, 3 * 256)
    assert float(np.linalg.norm(found.numpy(), 2)) <= bound <= 1.0005
    assert np.abs(Replay(graph)(frame) - exact(image)[0].numpy()).max() < 1e-12


def small_graph(operators: list[onnx.NodeProto], constants: dict[str, np.ndarray]) -> Graph:
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["image"], ["bytes"], to=TensorProto.FLOAT),
            helper.make_node("Transpose", ["bytes"], ["planes"], perm=[0, 3, 1, 2]),
            *operators,
        ],
        "small",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, [1, 6, 6, 3])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 4, 6, 6])],
        [numpy_helper.from_array(a.astype(np.float32), n) for n, a in constants.items()],
    )
    return Graph(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]))


@pytest.mark.parametrize("seed", range(20))
def test_branches_shared_and_joined_against_the_dense_jacobian(seed: int) -> None:
    """Split, unequal branches, a branch used twice, sorting and joining."""
    rng = np.random.default_rng(seed)
    constants = {
        "k0": rng.standard_normal((4, 3, 3, 3)) / 255,
        "k1": rng.standard_normal((2, 2, 1, 1)),
        "k2": rng.standard_normal((2, 2, 3, 3)) * 0.3,
    }
    pads: dict[str, Any] = {"pads": [1, 1, 1, 1], "strides": [1, 1], "dilations": [1, 1]}
    flat: dict[str, Any] = {"pads": [0, 0, 0, 0], "strides": [1, 1], "dilations": [1, 1]}
    graph = small_graph(
        [
            helper.make_node("Conv", ["planes", "k0"], ["x"], **pads),
            helper.make_node("Split", ["x"], ["a", "b"], axis=1, num_outputs=2),
            helper.make_node("Conv", ["b", "k1"], ["u"], **flat),
            helper.make_node("Conv", ["a", "k2"], ["v"], **pads),
            helper.make_node("Max", ["u", "a"], ["high"]),
            helper.make_node("Min", ["a", "u"], ["low"]),
            helper.make_node("Max", ["v", "low"], ["single"]),
            helper.make_node("Concat", ["high", "single"], ["logits"], axis=1),
        ],
        constants,
    )
    bound = graph_bound(graph).lipschitz
    view = TorchGraph(graph, torch.float64)
    torch.manual_seed(seed)
    largest = 0.0
    for _ in range(5):
        image = torch.rand(1, 3, 6, 6, dtype=torch.float64)
        found = torch.autograd.functional.jacobian(view, image).reshape(144, 108)
        largest = max(largest, float(np.linalg.norm(found.numpy(), 2)))
    assert largest <= bound
    assert bound <= 4 * largest  # no vacuous answer


def test_a_dead_partner_does_not_hide_a_live_sort() -> None:
    constants = {"k": np.random.default_rng(0).standard_normal((8, 3, 1, 1))}
    start = [
        helper.make_node("Conv", ["planes", "k"], ["x"]),
        helper.make_node("Split", ["x"], ["a", "b"], axis=1, num_outputs=2),
    ]
    live = helper.make_node("Min", ["b", "a"], ["logits"])
    dead = helper.make_node("Max", ["a", "b"], ["unused"])
    alone = graph_bound(small_graph([*start, live], constants)).lipschitz
    assert graph_bound(small_graph([*start, dead, live], constants)).lipschitz == alone


def test_rows_that_change_places_cost_nothing() -> None:
    constants = {"k": np.ones((4, 3, 1, 1))}
    conv = helper.make_node("Conv", ["planes", "k"], ["x"])
    swapped = [
        helper.make_node("Split", ["x"], ["top", "bottom"], axis=2, num_outputs=2),
        helper.make_node("Concat", ["bottom", "top"], ["logits"], axis=2),
    ]
    plain = small_graph([conv, helper.make_node("Identity", ["x"], ["logits"])], constants)
    bound = graph_bound(small_graph([conv, *swapped], constants)).lipschitz
    assert bound == pytest.approx(graph_bound(plain).lipschitz, rel=1e-12)
