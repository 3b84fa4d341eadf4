"""More ways to alter a valid file, every one found, named and answered with exit code 3.

`test_verify.py` has the first twenty; the files are altered as somebody would who knows the format.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from lipdeploy.cli import main
from lipdeploy.core.manifest import manifest_from_metadata
from lipdeploy.export.head import head_nodes
from lipdeploy.export.verifier.graph import Graph, load_model, weights_sha256
from lipdeploy.export.verifier.head_check import head_spec
from lipdeploy.export.verifier.lipschitz import graph_bound
from lipdeploy.export.verifier.replay import Replay
from tests.export.test_verify import metadata, node, replace_constant

Tamper = Callable[[onnx.ModelProto], None]


def value(model: onnx.ModelProto, key: str) -> Any:
    return json.loads(next(p.value for p in model.metadata_props if p.key == key))


def rehash(model: onnx.ModelProto) -> None:
    """What a forger would do last."""
    metadata(model, "lipdeploy.weights_sha256", weights_sha256(model.graph.initializer))


def rebuild_head(model: onnx.ModelProto) -> None:
    """A head that fits the altered metadata, to the last constant."""
    manifest = manifest_from_metadata({p.key: p.value for p in model.metadata_props})
    nodes, constants = head_nodes(head_spec(manifest))
    trunk = [n for n in model.graph.node if not _in_head(n)]
    kept = [t for t in model.graph.initializer if not t.name.startswith("head/")]
    del model.graph.node[:]
    del model.graph.initializer[:]
    model.graph.node.extend([*trunk, *nodes])
    model.graph.initializer.extend([*kept, *constants])
    rehash(model)


def _in_head(each: onnx.NodeProto) -> bool:
    names = {*each.output, each.name}
    return any(n.startswith("head/") for n in names) or bool(names & {"mask", "radius", "flips"})


def convolution(model: onnx.ModelProto, index: int) -> onnx.NodeProto:
    found: onnx.NodeProto = [n for n in model.graph.node if n.op_type == "Conv"][index]
    return found


def attribute(each: onnx.NodeProto, name: str) -> onnx.AttributeProto:
    found: onnx.AttributeProto = next(a for a in each.attribute if a.name == name)
    return found


def insert_before(model: onnx.ModelProto, each: onnx.NodeProto, new: onnx.NodeProto) -> None:
    index = list(model.graph.node).index(each)
    each.input[0] = new.output[0]
    model.graph.node.insert(index, new)


def forged_lipschitz(model: onnx.ModelProto) -> None:
    metadata(model, "lipdeploy.lipschitz", value(model, "lipdeploy.lipschitz") * 0.99)
    rebuild_head(model)


def forged_weight(model: onnx.ModelProto) -> None:
    replace_constant(model, "network.stages.1.blocks.0.first.weight", lambda w: w * 1.01)
    rehash(model)


def forged_layer_table(model: onnx.ModelProto) -> None:
    forged_weight(model)
    layers = value(model, "lipdeploy.lipschitz_layers")
    metadata(model, "lipdeploy.lipschitz_layers", [e | {"bound": 1.0} for e in layers])


def forged_preprocessing(model: onnx.ModelProto) -> None:
    first = convolution(model, 0).input[1]
    replace_constant(model, first, lambda w: w * 255 / 250)
    rehash(model)


def forged_slack(model: onnx.ModelProto) -> None:
    numerics = value(model, "lipdeploy.numerics")
    evidence = {"frames": 1000, "attacked_frames": 9, "largest_error": 1e-6, "sigma": 1e-6}
    forged = numerics | {"slack": 1e-7, "level": "statistical", "evidence": evidence}
    metadata(model, "lipdeploy.numerics", forged)
    rebuild_head(model)


def other_dilation(model: onnx.ModelProto) -> None:
    each = convolution(model, 3)
    attribute(each, "dilations").ints[:] = [3, 3]


def automatic_padding(model: onnx.ModelProto) -> None:
    convolution(model, 2).attribute.append(helper.make_attribute("auto_pad", "SAME_UPPER"))
    replace_constant(model, convolution(model, 2).input[1], lambda w: w * 2)
    rehash(model)


def doubled_features(model: onnx.ModelProto) -> None:
    shuffle = next(n for n in model.graph.node if n.op_type == "DepthToSpace")
    two = numpy_helper.from_array(np.array(2, np.float32), "two")
    model.graph.initializer.append(two)
    insert_before(model, shuffle, helper.make_node("Mul", [shuffle.input[0], "two"], ["scaled"]))
    rehash(model)


def divided_features(model: onnx.ModelProto) -> None:
    shuffle = next(n for n in model.graph.node if n.op_type == "DepthToSpace")
    model.graph.initializer.append(numpy_helper.from_array(np.array(0.5, np.float32), "half"))
    insert_before(model, shuffle, helper.make_node("Div", [shuffle.input[0], "half"], ["scaled"]))
    rehash(model)


def summed_halves(model: onnx.ModelProto) -> None:
    largest = next(n for n in model.graph.node if n.op_type == "Max" and n.name[:5] != "head/")
    largest.op_type = "Add"


def multiplied_halves(model: onnx.ModelProto) -> None:
    largest = next(n for n in model.graph.node if n.op_type == "Max" and n.name[:5] != "head/")
    largest.op_type = "Mul"


def same_branch_twice(model: onnx.ModelProto) -> None:
    joined = next(n for n in model.graph.node if n.op_type == "Concat")
    joined.input[1] = joined.input[0]


def raw_radius(model: onnx.ModelProto) -> None:
    node(model, "radius").input[0] = "head/raw_radius"


def swapped_comparison(model: onnx.ModelProto) -> None:
    each = node(model, "head/fits_1")
    each.input[0], each.input[1] = each.input[1], each.input[0]


def flips_of_the_lower_end(model: onnx.ModelProto) -> None:
    node(model, "head/count").input[0] = "head/count_low_sum"


def radius_from_another_tensor(model: onnx.ModelProto) -> None:
    node(model, "head/margin").input[1] = "head/first_1"


def smaller_eps(model: onnx.ModelProto) -> None:
    squared = node(model, "head/eps_squared")
    model.graph.initializer.append(numpy_helper.from_array(np.array(0.5, np.float32), "head/half"))
    halved = helper.make_node("Mul", [squared.input[0], "head/half"], ["head/eps_half"])
    insert_before(model, squared, halved)
    squared.input[1] = "head/eps_half"
    rehash(model)


def dead_node(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("Neg", ["eps"], ["nothing"]))


def fewer_classes(model: onnx.ModelProto) -> None:
    metadata(model, "lipdeploy.classes", ["only", "two"])


def one_class(model: onnx.ModelProto) -> None:
    metadata(model, "lipdeploy.classes", ["one"])


def other_size(model: onnx.ModelProto) -> None:
    metadata(model, "lipdeploy.imgsz", [64, 32])


def more_budgets(model: onnx.ModelProto) -> None:
    metadata(model, "lipdeploy.head", {"kind": "threshold", "budgets": 3})


def other_head_kind(model: onnx.ModelProto) -> None:
    metadata(model, "lipdeploy.head", {"kind": "sort", "budgets": 2})


def other_norm(model: onnx.ModelProto) -> None:
    metadata(model, "lipdeploy.norm", "linf")


def other_domain(model: onnx.ModelProto) -> None:
    metadata(model, "lipdeploy.domain", "[0,255]")


def endless_lipschitz(model: onnx.ModelProto) -> None:
    metadata(model, "lipdeploy.lipschitz", float("inf"))


def negative_slack(model: onnx.ModelProto) -> None:
    numerics = value(model, "lipdeploy.numerics")
    metadata(model, "lipdeploy.numerics", numerics | {"slack": -1.0})


def other_precision(model: onnx.ModelProto) -> None:
    numerics = value(model, "lipdeploy.numerics")
    evidence = {"frames": 1000, "attacked_frames": 9, "largest_error": 0.0, "sigma": 0.0}
    changed = {"precision": "int8", "level": "statistical", "evidence": evidence}
    metadata(model, "lipdeploy.numerics", numerics | changed)


def float_image(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT


def doubled_output(model: onnx.ModelProto) -> None:
    model.graph.output.append(model.graph.output[0])


def outside_weights(model: onnx.ModelProto) -> None:
    tensor = next(t for t in model.graph.initializer if t.name.endswith(".weight"))
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "weights.bin"


def foreign_domain(model: onnx.ModelProto) -> None:
    next(n for n in model.graph.node if n.op_type == "Concat").domain = "com.microsoft"


def cycle(model: onnx.ModelProto) -> None:
    joined = next(n for n in model.graph.node if n.op_type == "Concat")
    joined.input[0] = "logits"


def doubled_initializer(model: onnx.ModelProto) -> None:
    first = next(t for t in model.graph.initializer if t.name.endswith(".weight"))
    other = numpy_helper.from_array(numpy_helper.to_array(first) * 2, first.name)
    model.graph.initializer.append(other)


def initializer_as_input(model: onnx.ModelProto) -> None:
    """A default that the caller may replace is no constant."""
    first = next(t for t in model.graph.initializer if t.name.endswith(".weight"))
    model.graph.input.append(
        helper.make_tensor_value_info(first.name, first.data_type, list(first.dims))
    )


@pytest.mark.parametrize(
    ("tamper", "message"),
    [
        (forged_lipschitz, "L is bounded by"),
        (forged_weight, "network.stages.1.blocks.0.first"),
        (forged_layer_table, "L is bounded by"),
        (forged_preprocessing, "L is bounded by"),
        (forged_slack, "not earned"),
        (other_dilation, "malformed|shape|interface|logits"),
        (automatic_padding, "auto_pad|malformed|L is bounded by"),
        (doubled_features, "Mul|L is bounded by"),
        (divided_features, "Div|L is bounded by"),
        (summed_halves, "Add|Min|Max|L is bounded by"),
        (multiplied_halves, "Mul|Min|Max"),
        (same_branch_twice, "L is bounded by|of the head differs"),
        (raw_radius, "radius"),
        (swapped_comparison, "fits_1"),
        (flips_of_the_lower_end, "count"),
        (radius_from_another_tensor, "margin"),
        (smaller_eps, "head"),
        (dead_node, "head"),
        (fewer_classes, "logits|classes"),
        (one_class, "1 classes"),
        (other_size, "interface"),
        (more_budgets, "interface"),
        (other_head_kind, "head"),
        (other_norm, "norm 'linf'"),
        (other_domain, "domain"),
        (endless_lipschitz, "not finite"),
        (negative_slack, "slack -1.0"),
        (other_precision, "precision 'int8'|head/twice_slack"),
        (float_image, "malformed|interface"),
        (doubled_output, "1 outputs of one name"),
        (outside_weights, "other files"),
        (foreign_domain, "malformed|domain|operators|opset"),
        (cycle, "malformed"),
        (doubled_initializer, "malformed|twice|duplicate"),
        (initializer_as_input, "interface"),
    ],
)
def test_tampering_is_found_and_named(
    model_64: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    tamper: Tamper,
    message: str,
) -> None:
    model = load_model(model_64)
    tamper(model)
    path = tmp_path / "bad.onnx"
    onnx.save_model(model, str(path))
    assert main(["verify", str(path)]) == 3, tamper.__name__
    verdict = capsys.readouterr().out.strip().splitlines()[-1]
    assert verdict.startswith("FAILED")
    assert any(part in verdict for part in message.split("|")), verdict


@pytest.mark.parametrize(("side", "expected"), [(8, 1.0), (7, 1.3)])
def test_wrapped_padding_at_an_odd_size_is_not_one_lipschitz(
    model_64: Path, side: int, expected: float
) -> None:
    """The same orthogonal strided kernel: at an even size it wraps into itself, at an odd one two
    windows share a row, and the norm grows (the dense Jacobian is exact).
    """
    kernel = numpy_helper.to_array(
        next(
            t
            for t in load_model(model_64).graph.initializer
            if t.name == "network.stages.2.entry.weight"
        )
    )
    channels = kernel.shape[1]
    lift = np.zeros((channels, 3, 1, 1), np.float32)
    lift[:3, :, 0, 0] = np.eye(3) / 255
    pads = np.array([0, 0, 1, 1, 0, 0, 1, 1], np.int64)
    out = (side - 1) // 2 + 1
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["image"], ["bytes"], to=TensorProto.FLOAT),
            helper.make_node("Transpose", ["bytes"], ["planes"], perm=[0, 3, 1, 2]),
            helper.make_node("Conv", ["planes", "lift"], ["x"]),
            helper.make_node("Pad", ["x", "pads"], ["wrapped"], mode="wrap"),
            helper.make_node("Conv", ["wrapped", "kernel"], ["logits"], strides=[2, 2]),
        ],
        "wrapped",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, [1, side, side, 3])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, len(kernel), out, out])],
        [
            numpy_helper.from_array(lift, "lift"),
            numpy_helper.from_array(pads, "pads"),
            numpy_helper.from_array(kernel, "kernel"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    found = Graph(model)
    bound = graph_bound(found).lipschitz
    replay = Replay(found)
    origin = replay(np.zeros((side, side, 3), np.uint8))
    columns = []
    for index in range(3 * side * side):
        unit = np.zeros(3 * side * side, np.uint8)
        unit[index] = 255
        columns.append((replay(unit.reshape(side, side, 3)) - origin).ravel())
    exact = float(np.linalg.norm(np.stack(columns), 2))
    assert exact <= bound
    assert bound <= 1.00001 if side == 8 else bound > expected
