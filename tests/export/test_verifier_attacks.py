"""What a review with hostile intent found, each as it was found."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from lipdeploy.cli import main
from lipdeploy.core.errors import VerificationError
from lipdeploy.export.verifier.graph import Graph, model_from_bytes
from lipdeploy.export.verifier.lipschitz import foreign_bound
from tests.export.tiny_file import tiny_file

Node = onnx.NodeProto


def graph(
    nodes: list[Node],
    constants: dict[str, npt.NDArray[Any]],
    shape: list[int],
    output: list[int],
    opset: int = 18,
) -> onnx.ModelProto:
    made = helper.make_graph(
        nodes,
        "attack",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, output)],
        [numpy_helper.from_array(a, n) for n, a in constants.items()],
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def test_a_cut_with_padding_at_the_end_is_not_overlooked() -> None:
    """1x1 after 2x2: the padded 1x1 reads zeros where the composed kernel has -x, so that x + g(x)
    is x on the last row and column, not 0.
    """
    tap = np.zeros((1, 1, 2, 2), np.float32)
    tap[0, 0, 0, 0] = -1
    model = graph(
        [
            helper.make_node("Conv", ["image", "tap"], ["a"]),
            helper.make_node("Conv", ["a", "one"], ["b"], pads=[0, 0, 1, 1]),
            helper.make_node("Add", ["image", "b"], ["y"]),
        ],
        {"tap": tap, "one": np.ones((1, 1, 1, 1), np.float32)},
        [1, 1, 4, 4],
        [1, 1, 4, 4],
    )
    assert foreign_bound(Graph(model)).lipschitz >= 1.0


@pytest.mark.parametrize("pads", [[0, 0, 0, 0], [0, 0, 1, 1], [1, 1, 0, 0], [0, 1, 2, 0]])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("taps", [1, 2, 3])
@pytest.mark.parametrize("pointwise_first", [False, True])
def test_products_with_pointwise_maps_against_the_dense_matrix(
    pads: list[int], stride: int, taps: int, pointwise_first: bool
) -> None:
    """Two convolutions, one of them 1x1, less the same in one: only the cut is left."""
    kernel = np.zeros((1, 1, taps, taps), np.float32)
    kernel[0, 0, 0, 0] = -1
    names = ("one", "kernel") if pointwise_first else ("kernel", "one")
    second: dict[str, Any] = {"pads": pads, "strides": [stride, stride]}
    nodes = [
        helper.make_node("Conv", ["image", names[0]], ["a"]),
        helper.make_node("Conv", ["a", names[1]], ["b"], **second),
        helper.make_node("Conv", ["image", "negative"], ["c"], **second),
        helper.make_node("Add", ["b", "c"], ["y"]),
    ]
    constants = {"one": np.ones((1, 1, 1, 1), np.float32), "kernel": kernel, "negative": -kernel}
    height, width = ((5 + pads[i] + pads[i + 2] - taps) // stride + 1 for i in (0, 1))
    model = graph(nodes, constants, [1, 1, 5, 5], [1, 1, height, width])
    assert _exact(model, 25) <= foreign_bound(Graph(model)).lipschitz * (1 + 1e-6)


def _exact(model: onnx.ModelProto, inputs: int) -> float:
    """Largest singular value of the matrix that ONNX Runtime's answers make."""

    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    bare.graph.output[0].type.tensor_type.ClearField("shape")
    session = onnxruntime.InferenceSession(
        bare.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    shape = session.get_inputs()[0].shape
    columns = [
        session.run(None, {"image": unit.reshape(shape).astype(np.float32)})[0].ravel()
        for unit in np.eye(inputs)
    ]
    return float(np.linalg.norm(np.stack(columns), 2))


@pytest.mark.parametrize("exponent", [45, 53, 54, 60, 100])
def test_what_a_sum_rounds_away_is_not_forgotten(exponent: int) -> None:
    """((x - 1) + 2^-e x) - (x - 1), times 2^e, is x; in float64 the kernels add up to 0."""
    constants = {
        "one": np.ones((1, 1, 1, 1), np.float32),
        "small": np.full((1, 1, 1, 1), 2.0**-exponent, np.float32),
        "large": np.full((1, 1, 1, 1), 2.0**exponent, np.float32),
    }
    nodes = [
        helper.make_node("Sub", ["image", "one"], ["a"]),
        helper.make_node("Mul", ["image", "small"], ["s"]),
        helper.make_node("Add", ["a", "s"], ["b"]),
        helper.make_node("Sub", ["b", "a"], ["t"]),
        helper.make_node("Mul", ["t", "large"], ["y"]),
    ]
    model = graph(nodes, constants, [1, 1, 3, 3], [1, 1, 3, 3])
    assert foreign_bound(Graph(model)).lipschitz >= 1.0


def test_an_axis_that_is_named_twice_is_refused() -> None:
    axes = np.array([2, -2], np.int64)
    nodes = [helper.make_node("ReduceMean", ["image", "axes"], ["y"])]
    with pytest.raises(VerificationError, match="ReduceMean"):
        foreign_bound(Graph(graph(nodes, {"axes": axes}, [1, 1, 8, 1], [1, 1, 1, 1])))


def test_wrapping_with_a_negative_pad_is_refused() -> None:
    pads = np.array([0, 0, -1, 2, 0, 0, 0, -1], np.int64)
    nodes = [helper.make_node("Pad", ["image", "pads"], ["y"], mode="wrap")]
    with pytest.raises(VerificationError, match="Pad"):
        foreign_bound(Graph(graph(nodes, {"pads": pads}, [1, 1, 6, 2], [1, 1, 5, 3])))


def test_declared_output_shapes_are_not_believed() -> None:
    pair = np.array([[1, 1], [8, 8]], np.int64)
    nodes = [
        helper.make_node("Reshape", ["pair", "flat"], ["shape"]),
        helper.make_node("Expand", ["image", "shape"], ["y"]),
    ]
    constants = {"pair": pair, "flat": np.array([-1], np.int64)}
    model = graph(nodes, constants, [1, 1, 1, 1], [1, 1, 1, 1])
    try:
        bound = foreign_bound(Graph(model)).lipschitz
    except VerificationError:
        return
    assert bound >= 8.0


def test_weights_of_an_attribute_outside_the_file_are_refused() -> None:
    outside = TensorProto(name="g", data_type=TensorProto.FLOAT, dims=[1, 1, 2, 2])
    outside.data_location = TensorProto.EXTERNAL
    entry = outside.external_data.add()
    entry.key, entry.value = "location", "g.bin"
    nodes = [
        helper.make_node("Constant", [], ["g"], value=outside),
        helper.make_node("Mul", ["image", "g"], ["y"]),
    ]
    model = graph(nodes, {}, [1, 1, 2, 2], [1, 1, 2, 2])
    with pytest.raises(VerificationError, match="weights in other files"):
        model_from_bytes(model.SerializeToString(), "m")


def test_nested_sums_take_no_exponential_time() -> None:
    nodes = [helper.make_node("Relu", ["image"], ["y0"])]
    for i in range(40):
        nodes.append(helper.make_node("Relu", [f"y{i}"], [f"r{i}"]))
        nodes.append(helper.make_node("Add", ["image", f"r{i}"], [f"y{i + 1}" if i < 39 else "y"]))
    bound = foreign_bound(Graph(graph(nodes, {}, [1, 1, 2, 2], [1, 1, 2, 2]))).lipschitz
    assert bound >= 41 * (1 - 1e-9)


def test_a_folder_of_downloads_runs_no_code(tmp_path: Path) -> None:
    onnx.save_model(tiny_file(), str(tmp_path / "m.onnx"))
    for name in ("onnx", "threadpoolctl"):
        (tmp_path / f"{name}.py").write_text("open('pwned', 'w'); raise SystemExit(0)\n")
    script = "import sys; sys.path.remove(''); from lipdeploy.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", script, "verify", "m.onnx", "--no-write", "--frames", "1"]
    done = subprocess.run(command, check=False, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not (tmp_path / "pwned").exists()


def test_names_of_a_file_imitate_no_line_of_ours(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tiny_file()
    evil = "k\nPASSED | L <= 0.1 | level proved\x1b[8m"
    for tensor in model.graph.initializer:
        if tensor.name == "kernel":
            tensor.name = evil
    for node in model.graph.node:
        node.input[:] = [evil if name == "kernel" else name for name in node.input]
    onnx.save_model(model, str(tmp_path / "m.onnx"))
    main(["verify", str(tmp_path / "m.onnx"), "--no-write", "--frames", "1"])
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert not any(line.startswith("PASSED | L <= 0.1") for line in out.splitlines())
