"""Quantized and fp16 files that claim what they have not earned: each refused with the reason.

The forger knows the format: head, hash and metadata fit what is claimed; only the claim is wrong.
"""

import dataclasses
import itertools
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from lipdeploy.cli import main
from lipdeploy.core.manifest import Level, Numerics
from lipdeploy.export.verifier.graph import Graph
from lipdeploy.export.verifier.lipschitz import graph_bound
from lipdeploy.export.verifier.precision import PRECISIONS, precision_of
from tests.export.test_tampering import rehash
from tests.export.test_verify import metadata
from tests.export.toy_graphs import run_onnxruntime
from tests.export.toy_quantized import (
    EVIDENCE,
    SIDE,
    Trunk,
    file_of,
    honest_file,
    honest_numerics,
    toy_trunk,
)

Smuggle = Callable[[Trunk], None]


def verdict(model: onnx.ModelProto, folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """Exit code and last line of `lipdeploy verify`."""
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    code = main(["verify", str(path), "--frames", "2"])
    return f"{code} {capsys.readouterr().out.splitlines()[-1]}"


@pytest.mark.parametrize("precision", PRECISIONS)
def test_an_honest_file_of_every_precision_passes(
    precision: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = honest_file(precision)
    assert precision_of(Graph(model)) == precision
    assert "0 PASSED" in verdict(model, tmp_path, capsys)
    main(["inspect", str(tmp_path / "model.onnx")])
    quantizers = {"int8": 3, "int16": 3}.get(precision, 0)
    weights = {"float32": 0, "fp16": 0}.get(precision, 2)
    line = f"{precision}, {quantizers} quantizers of activations, {weights} quantized weights"
    if not quantizers + weights:
        line = f"{precision}, nothing quantized"
    assert line in capsys.readouterr().out


def node(trunk: Trunk, name: str) -> onnx.NodeProto:
    found: onnx.NodeProto = next(n for n in trunk.nodes if n.name == name)
    return found


def larger_step_behind(trunk: Trunk) -> None:
    """The integers are read with four times the step: a slope of 4 dressed as a clip."""
    trunk.constants["other"] = trunk.constants["features/scale"] * 4
    node(trunk, "features/clipped").input[1] = "other"


def other_zero_point(trunk: Trunk) -> None:
    trunk.constants["other"] = np.array(5, np.int8)
    node(trunk, "features/clipped").input[2] = "other"


def other_type(trunk: Trunk) -> None:
    trunk.constants["other"] = np.array(0, np.uint8)
    node(trunk, "features/integers").input[2] = "other"


def other_axis(trunk: Trunk) -> None:
    """As many scales as rows and as columns, all different: read along another axis."""
    trunk.constants["features/scale"] = np.linspace(0.001, 0.1, SIDE).astype(np.float32)
    trunk.constants["features/zero"] = np.zeros(SIDE, np.int8)
    for name, axis in (("features/integers", 2), ("features/clipped", 3)):
        node(trunk, name).attribute.append(helper.make_attribute("axis", axis))


def scale_of(value: float) -> Smuggle:
    def change(trunk: Trunk) -> None:
        trunk.constants["features/scale"] = np.array(value, np.float32)

    return change


def weight_scale_of(value: float) -> Smuggle:
    def change(trunk: Trunk) -> None:
        trunk.constants["last/scale"] = np.array([0.01, value], np.float32)

    return change


def scale_that_moves(trunk: Trunk) -> None:
    trunk.add("ReduceMean", ["planes"], "mean", keepdims=0)
    trunk.nodes.insert(2, trunk.nodes.pop())
    node(trunk, "features/integers").input[1] = "mean"


def weight_scale_from_an_input(trunk: Trunk) -> None:
    """The scale is the budget that the user passes."""
    node(trunk, "last").input[1] = "eps"


def integers_elsewhere(trunk: Trunk) -> None:
    """The quantized tensor goes into an integer product."""
    trunk.constants["ones"] = np.ones((2, 4, 1, 1), np.int8)
    trunk.add("ConvInteger", ["sorted/integers", "ones"], "sum")
    trunk.add("Cast", ["sum"], "more", to=TensorProto.FLOAT)
    node(trunk, "logits").output[0] = "less"
    trunk.add("Add", ["less", "more"], "logits")


def integers_cast(trunk: Trunk) -> None:
    """1 / scale times the values, past the DequantizeLinear."""
    at = [n.name for n in trunk.nodes].index("a")
    trunk.add("Cast", ["features/integers"], "steep", to=TensorProto.FLOAT)
    trunk.add("Add", ["features/clipped", "steep"], "summed")
    trunk.nodes[at:at] = [trunk.nodes.pop() for _ in range(2)][::-1]
    node(trunk, "a").input[0] = "summed"


def integers_moved(trunk: Trunk) -> None:
    """Between the two halves the integers are turned around."""
    trunk.add("Transpose", ["features/integers"], "turned", perm=[0, 1, 3, 2])
    at = [n.name for n in trunk.nodes].index("features/clipped")
    trunk.nodes.insert(at, trunk.nodes.pop())
    node(trunk, "features/clipped").input[0] = "turned"


def dressed_cast(trunk: Trunk) -> None:
    """Rounding by casts, which the rules of QuantizeLinear do not cover."""
    trunk.constants["step"] = np.array(0.01, np.float32)
    at = [n.name for n in trunk.nodes].index("a")
    trunk.add("Div", ["features/clipped", "step"], "steps")
    trunk.add("Cast", ["steps"], "whole", to=TensorProto.INT8)
    trunk.add("Cast", ["whole"], "floats", to=TensorProto.FLOAT)
    trunk.add("Mul", ["floats", "step"], "values")
    moved = [trunk.nodes.pop() for _ in range(4)][::-1]
    trunk.nodes[at:at] = moved
    node(trunk, "a").input[0] = "values"


def in_bytes(trunk: Trunk) -> None:
    for part in ("features", "sorted", "centred"):
        trunk.constants[f"{part}/zero"] = np.array(128, np.uint8)


def weights_in_bytes(trunk: Trunk) -> None:
    trunk.constants["last/stored"] = trunk.constants["last/stored"].view(np.uint8)
    trunk.constants["last/zero"] = np.zeros(2, np.uint8)


def half_inside(trunk: Trunk) -> None:
    at = [n.name for n in trunk.nodes].index("a")
    trunk.add("Cast", ["features/clipped"], "half", to=TensorProto.FLOAT16)
    trunk.add("Cast", ["half"], "whole", to=TensorProto.FLOAT)
    trunk.nodes[at:at] = [trunk.nodes.pop() for _ in range(2)][::-1]
    node(trunk, "a").input[0] = "whole"


@pytest.mark.parametrize(
    ("smuggle", "message"),
    [
        (larger_step_behind, "'features/clipped' has other steps than .* scale 0.028"),
        (other_zero_point, "'features/clipped' has other steps than .* zero point 5"),
        (other_type, "uint8|malformed"),
        (other_axis, "'features/clipped' has other steps than .* and 7 more"),
        (scale_of(0.0), "'features/integers': scale .* is not a positive finite float32"),
        (scale_of(-0.01), "'features/integers': scale .* is not a positive finite float32"),
        (scale_of(float("nan")), "'features/integers': scale .* is not a positive"),
        (scale_of(float("inf")), "'features/integers': scale .* is not a positive"),
        (scale_of(1e-40), "'features/integers': scale .* is not a positive"),
        (weight_scale_of(-0.01), "'last' of constants: scale .* is not a positive"),
        (weight_scale_of(0.0), "'last' of constants: scale .* is not a positive"),
        (weight_scale_of(float("nan")), "'last' of constants: scale .* is not a positive"),
        (scale_that_moves, "'features/integers': scale 'mean' must be a constant"),
        (weight_scale_from_an_input, "'last': scale 'eps' must be a constant"),
        (integers_elsewhere, "ConvInteger 'sum' uses the quantized tensor 'sorted/integers'"),
        (integers_cast, "Cast 'steep' uses the quantized tensor 'features/integers'"),
        (integers_moved, "Transpose 'turned' uses the quantized tensor"),
        (dressed_cast, "Cast 'floats': only the cast of the image or of floats is known"),
        (in_bytes, "activations of uint8 .* expected one of the precisions"),
        (weights_in_bytes, "'last/stored' holds uint8; expected weights in int8"),
        (half_inside, "activations of int8, float16 .* expected one of the precisions"),
    ],
)
def test_what_is_no_clip_is_refused_by_name(
    smuggle: Smuggle, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The head claims the bound of the honest trunk."""
    honest, trunk = toy_trunk("int8"), toy_trunk("int8")
    smuggle(trunk)
    lipschitz = graph_bound(Graph(honest.model())).lipschitz
    model = file_of(trunk.model(), lipschitz, honest_numerics("int8"))
    assert_refused(model, message, tmp_path, capsys)


def assert_refused(
    model: onnx.ModelProto, message: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = verdict(model, folder, capsys)
    assert found.startswith("3 FAILED | ")
    assert re.search(message, found), found


def test_the_larger_step_would_have_been_an_over_claim() -> None:
    """Why it is refused: ONNX Runtime's output moves twice as far as the honest bound allows."""
    honest, trunk = toy_trunk("int8"), toy_trunk("int8")
    larger_step_behind(trunk)
    lipschitz = graph_bound(Graph(honest.model())).lipschitz
    frames = np.zeros((2, 1, SIDE, SIDE, 3), np.uint8) + 128
    frames[1, ..., 0] += 40
    model = trunk.model()
    values = _run_bytes(model, frames)
    moved = np.linalg.norm(values[1] - values[0])
    distance = np.linalg.norm((frames[1].astype(float) - frames[0]) / 255)
    assert moved > lipschitz * distance


def _run_bytes(model: onnx.ModelProto, frames: np.ndarray) -> np.ndarray:
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT
    return run_onnxruntime(model, frames)


@pytest.mark.parametrize(("claimed", "true"), list(itertools.permutations(PRECISIONS, 2)))
def test_only_the_graphs_own_precision_may_be_claimed(
    claimed: str, true: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    numerics = dataclasses.replace(honest_numerics(true), precision=claimed)
    trunk = toy_trunk(true).model()
    model = file_of(trunk, graph_bound(Graph(trunk)).lipschitz, numerics)
    opset = f"alone for precision '{claimed}'"
    message = f"precision '{claimed}', the graph is '{true}'|opset (18|21) {opset}"
    assert_refused(model, message, tmp_path, capsys)


@pytest.mark.parametrize("precision", ["fp16", "int8-weights", "int8", "int16"])
@pytest.mark.parametrize("level", ["bounded", "proved"])
def test_a_higher_level_is_not_earned(
    precision: str, level: Level, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Should one of them be derivable one day, it needs more than this evidence."""
    numerics = dataclasses.replace(honest_numerics(precision), level=level)
    trunk = toy_trunk(precision).model()
    model = file_of(trunk, graph_bound(Graph(trunk)).lipschitz, numerics)
    assert_refused(model, f"'{level}'", tmp_path, capsys)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rounding_attacked_frames": 0}, "not earned.* rounding_attacked_frames above 0"),
        ({"rounding_attacked_frames": None}, "'rounding_attacked_frames' is None"),
        ({"rounding_attacked_frames": True}, "'rounding_attacked_frames' is True"),
        ({"attacked_frames": 0}, "not earned"),
        ({"frames": 999}, "not earned"),
        ({"frames": "1000"}, "'frames' is '1000'"),
        ({"largest_error": 0.3}, "not earned"),
        ({"sigma": 0.02}, "not earned"),
        ({"sigma": float("nan")}, "'sigma' is nan"),
        ({"largest_error": -1.0, "sigma": -1.0}, "not earned"),
        ({"engines": {"openvino": {"largest_error": 0.3, "sigma": 0.0}}}, "not earned"),
        ({"engines": {"openvino": {"frames": 2000}}}, "not earned"),
        ({"engines": ["openvino"]}, "evidence of engines"),
    ],
)
def test_thin_evidence_does_not_carry_the_level(
    change: dict[str, object], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = honest_file("int8")
    honest = honest_numerics("int8")
    numerics = dataclasses.replace(honest, evidence={**EVIDENCE, **change})
    metadata(model, "lipdeploy.numerics", dataclasses.asdict(numerics))
    assert_refused(model, message, tmp_path, capsys)


def test_a_slack_below_what_the_engine_shows_is_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Evidence that fits its slack, and both invented: int8 is off by more."""
    trunk = toy_trunk("int8").model()
    numerics = Numerics("int8", 1e-4, "statistical", EVIDENCE)
    model = file_of(trunk, graph_bound(Graph(trunk)).lipschitz, numerics)
    assert_refused(
        model, "is above float64|more than the slack|keeps to the slack", tmp_path, capsys
    )


def test_weights_that_overflow_float16_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trunk = toy_trunk("fp16")
    trunk.constants["last"] = trunk.constants["last"] * np.float16(np.inf)
    model = file_of(trunk.model(), 1.0, honest_numerics("fp16"))
    assert_refused(model, "'last' holds values that are not finite", tmp_path, capsys)


def test_formats_that_no_precision_names_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trunk = toy_trunk("float32")
    at = [n.name for n in trunk.nodes].index("a")
    trunk.add("Cast", ["features"], "brain", to=TensorProto.BFLOAT16)
    trunk.add("Cast", ["brain"], "whole", to=TensorProto.FLOAT)
    trunk.nodes[at:at] = [trunk.nodes.pop() for _ in range(2)][::-1]
    node(trunk, "a").input[0] = "whole"
    model = file_of(trunk.model(), 1.0, honest_numerics("float32"))
    assert_refused(model, "'brain' computes bfloat16, which no precision has", tmp_path, capsys)


def quantized_margin(model: onnx.ModelProto) -> None:
    """The head's first node reads logits on a grid."""
    steps: dict[str, np.ndarray] = {
        "q/scale": np.array(0.1, np.float32),
        "q/zero": np.array(0, np.int8),
    }
    model.graph.initializer.extend(numpy_helper.from_array(v, k) for k, v in steps.items())
    names = list(steps)
    first = next(i for i, n in enumerate(model.graph.node) if "logits" in n.input)
    pair = [
        helper.make_node("QuantizeLinear", ["logits", *names], ["q"]),
        helper.make_node("DequantizeLinear", ["q", *names], ["coarse"]),
    ]
    for each in model.graph.node:
        for index, name in enumerate(each.input):
            each.input[index] = "coarse" if name == "logits" else name
    for each in reversed(pair):
        model.graph.node.insert(first, each)
    rehash(model)


def half_radius(model: onnx.ModelProto) -> None:
    radius = next(i for i, n in enumerate(model.graph.node) if "radius" in n.output)
    model.graph.node[radius].output[0] = "wide"
    for each in model.graph.node:
        for index, name in enumerate(each.input):
            each.input[index] = "wide" if name == "radius" else name
    half = helper.make_node("Cast", ["wide"], ["narrow"], to=TensorProto.FLOAT16)
    back = helper.make_node("Cast", ["narrow"], ["radius"], to=TensorProto.FLOAT)
    for each in (back, half):
        model.graph.node.insert(radius + 1, each)


@pytest.mark.parametrize("change", [quantized_margin, half_radius])
def test_the_head_stays_in_float32(
    change: Callable[[onnx.ModelProto], None],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    model = honest_file("int8")
    change(model)
    assert_refused(model, "of the head", tmp_path, capsys)


def test_logits_in_float16_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = honest_file("fp16")
    last = next(n for n in model.graph.node if "logits" in n.output)
    last.attribute[0].i = TensorProto.FLOAT16
    assert_refused(model, "logits hold float16|malformed", tmp_path, capsys)
