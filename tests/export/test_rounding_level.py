"""Level `bounded`: smuggled, vacuous, on the wrong engine, and honest."""

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
import torch
from onnx import helper, numpy_helper

from lipdeploy.cli import main
from lipdeploy.cli.verdict import rounding_table
from lipdeploy.core.errors import VerificationError
from lipdeploy.core.manifest import Numerics
from lipdeploy.export.artefact import Description, assembled, hashed
from lipdeploy.export.exporter import Request, export
from lipdeploy.export.verifier.graph import Graph, attributes, load_model
from lipdeploy.export.verifier.operators import OPERATORS
from lipdeploy.export.verifier.parity import synthetic_frames
from lipdeploy.export.verifier.rounding.bound import Rounding
from lipdeploy.export.verifier.rounding.level import check_useful
from lipdeploy.export.verifier.rounding.summary import rounding_summary
from lipdeploy.export.verifier.rounding.summation import check_summation
from lipdeploy.export.verifier.verification import verify
from lipdeploy.runtime.onnxruntime_session import ENGINE, open_graph
from lipdeploy.runtime.processor import processor_kind
from lipdeploy.training.checkpoint import Checkpoint
from lipdeploy.training.network import NetworkConfig, build_network
from tests.export import tiny_file
from tests.export.rounding_graphs import graph_of

Array = npt.NDArray[Any]
BUNDLED = Path(__file__).parents[2] / "samples" / "scene_s.onnx"
EVIDENCE = {
    "rule": "bounded",
    "summation": "any order",
    "engine": ENGINE,
    "processor": processor_kind(),
}
NAMES = ("left", "middle", "right")


def bounded_file(
    path: Path, slack: float | None = None, precision: str = "float32", **evidence: object
) -> Path:
    """The tiny file at level `bounded`, with the right slack unless another is given."""
    trunk = tiny_file._trunk()
    right = Rounding(Graph(trunk)).of_model().slack
    numerics = Numerics(
        precision, 1.001 * right if slack is None else slack, "bounded", EVIDENCE | evidence
    )
    draft = json.loads(
        next(p.value for p in tiny_file.tiny_file().metadata_props if p.key.endswith(".lipschitz"))
    )
    manifest = dataclasses.replace(tiny_file._manifest("threshold", draft, ""), numerics=numerics)
    digest = hashed(assembled(trunk, manifest, Description()))
    manifest = dataclasses.replace(manifest, weights_sha256=digest)
    onnx.save_model(assembled(trunk, manifest, Description()), str(path))
    return path


def test_an_honest_file_passes_and_says_that_the_level_was_derived(tmp_path: Path) -> None:
    found = verify(bounded_file(tmp_path / "m.onnx"), frames=2, isolated=False)
    assert found.passed, found.failure
    assert "level: bounded, evidence derived again from the file" in found.checks
    assert found.record is not None
    assert found.record.level == "bounded"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"slack": 1e-9}, "level 'bounded' is not earned: rounding is bounded by D = "),
        ({"slack": 0.0}, "the file subtracts 0"),
        ({"precision": "fp16"}, "says precision 'fp16', the graph is 'float32'"),
        ({"rule": "trust me"}, "rule 'trust me'"),
        ({"summation": "pairwise"}, "summation 'pairwise'"),
        ({"engine": "openvino 2026.3 CPU"}, "names engine 'openvino 2026.3 CPU'"),
        ({"engine": ""}, "names engine ''"),
        ({"engine": "onnxruntime 9.9.9 CPU"}, "run `pip install onnxruntime==9.9.9`, or run `lip"),
        (
            {"engine": "onnxruntime 9|sh CPU"},
            "may sum otherwise; run `lipdeploy export ... --level",
        ),
        ({"processor": "x86_64 avx512f"}, "asked of engines on 'x86_64 avx512f'"),
        ({"engines": {"tensorrt 11.4 GPU": {}}}, "names engine 'tensorrt 11.4 GPU'"),
        ({"engines": ["tensorrt"]}, "names engine '?'"),
    ],
)
def test_a_smuggled_level_is_refused(changed: dict[str, Any], message: str, tmp_path: Path) -> None:
    found = verify(bounded_file(tmp_path / "m.onnx", **changed), frames=2, isolated=False)
    assert not found.passed
    assert message in str(found.failure)
    assert found.record is None


def test_a_bound_that_leaves_nothing_is_refused_with_its_numbers() -> None:
    """The bundled network reads the whole frame, and its margins are far below the bound."""
    rounding = Rounding(Graph(load_model(BUNDLED)))
    frames = synthetic_frames(2, *rounding.shape)
    with pytest.raises(VerificationError, match=r"vacuous here: 2 D = .* margin is .*128x224"):
        check_useful(rounding.replay, frames, rounding.of_model())


def test_a_small_network_is_exported_at_level_bounded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(0)
    network = build_network(NetworkConfig(3, arch="fcn", size="XS")).eval()
    with torch.no_grad():  # margins as after training
        classifier = next(m for n, m in network.named_modules() if n == "head.classifier")
        next(p for n, p in classifier.named_parameters() if n.endswith("bias"))[:16] += 0.2
    path = tmp_path / "m.onnx"
    checkpoint = Checkpoint(network, NAMES, (64, 64), {}, {}, {})
    report = export(checkpoint, path, Request(64, 64, frames=8, level="bounded"), lambda _: None)
    assert report.numerics.level == "bounded"
    assert report.numerics.slack >= Rounding(Graph(load_model(path))).of_model().slack
    assert report.parity.largest < report.numerics.slack
    assert main(["verify", str(path), "--frames", "1", "--rounding", "--no-write"]) == 0
    out = capsys.readouterr().out
    assert "rounding: float32 in any order moves no logit difference by more than" in out
    assert "receptive field 39x39" in out
    assert "level bounded" in out


def test_usefulness_is_the_share_of_clear_pixels() -> None:
    kernel = np.array([[1.0, 0], [0, 1]])[:, :, None, None]
    node = helper.make_node("Conv", ["image", "k"], ["logits"])
    graph = graph_of([node], {"k": kernel}, [1, 2, 2, 2], [1, 2, 2, 2])
    rounding = Rounding(graph)
    bound = rounding.of_model()
    margins = np.array([[0.0, 1.0], [1.0, 0.5 * bound.slack]])
    frame = np.stack([margins, np.zeros((2, 2))])

    def replay(_: Any) -> Array:
        return frame

    assert check_useful(replay, [frame], bound) == 0.5  # type: ignore[arg-type]
    frame = np.stack([margins * [[1, 0], [1, 1]], np.zeros((2, 2))])
    with pytest.raises(VerificationError, match="25% of the pixels exceed"):
        check_useful(replay, [frame], bound)  # type: ignore[arg-type]


def engine_of(convolve: Callable[[Mapping[str, Any], Array, Array, Array], Array]) -> Any:
    """An engine that can run one convolution, in its own way."""

    def opened(data: bytes, _: int) -> Any:
        graph = onnx.load_model_from_string(data).graph
        stored = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
        node = graph.node[0]

        def run(_: Sequence[str], feeds: Mapping[str, Array]) -> list[Array]:
            values = stored | dict(feeds)
            found = attributes(node)
            bias = values[node.input[2]]
            return [convolve(found, values[node.input[0]], values[node.input[1]], bias)]

        return run

    return opened


def direct(found: Mapping[str, Any], x: Array, kernel: Array, bias: Array) -> Array:
    """In float32, by NumPy's own order."""
    made = OPERATORS["Conv"](found, x, kernel, bias)[0]
    assert made.dtype == np.float32
    return np.asarray(made)


def tensor_float(found: Mapping[str, Any], x: Array, kernel: Array, bias: Array) -> Array:
    """TF32: inputs cut to ten bits, sums in float32."""
    cut = [(a.view(np.uint32) & np.uint32(0xFFFFE000)).view(np.float32) for a in (x, kernel)]
    return direct(found, cut[0], cut[1], bias)


def winograd(found: Mapping[str, Any], x: Array, kernel: Array, bias: Array) -> Array:
    """F(2x2, 3x3) in float32 where it applies: stride 1, 3x3, one pixel of padding."""
    if kernel.shape[2:] != (3, 3) or tuple(found.get("strides", (1, 1))) != (1, 1):
        return direct(found, x, kernel, bias)
    g = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]], np.float32)
    b = np.array([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]], np.float32)
    a = np.array([[1, 1, 1, 0], [0, 1, -1, -1]], np.float32)
    filters = g @ kernel @ g.T
    padded = np.pad(x[0], ((0, 0), (1, 2), (1, 2)))
    out = np.zeros((len(kernel), x.shape[2] + 1, x.shape[3] + 1), np.float32)
    for r in range(0, x.shape[2], 2):
        for c in range(0, x.shape[3], 2):
            tiles = b @ padded[:, r : r + 4, c : c + 4] @ b.T
            total = (filters * tiles).sum(1, dtype=np.float32)
            out[:, r : r + 2, c : c + 2] = a @ total @ a.T
    out += bias[:, None, None]
    return out[None, :, : x.shape[2], : x.shape[3]]


@pytest.fixture(scope="module")
def convolutions() -> Graph:
    rng = np.random.default_rng(0)
    constants = {"k0": rng.normal(size=(4, 3, 3, 3)), "b0": rng.normal(size=4)}
    constants |= {"k1": rng.normal(size=(4, 4, 3, 3)), "b1": rng.normal(size=4)}
    first: dict[str, Any] = {"pads": [1, 1, 1, 1], "strides": [2, 2]}
    nodes = [
        helper.make_node("Conv", ["image", "k0", "b0"], ["c"], **first),
        helper.make_node("Conv", ["c", "k1", "b1"], ["logits"], pads=[1, 1, 1, 1]),
    ]
    return graph_of(nodes, constants, [1, 3, 16, 16], [1, 4, 8, 8])


def test_an_engine_that_adds_up_products_is_accepted(convolutions: Graph) -> None:
    assert check_summation(convolutions, "direct", engine_of(direct)) == 2
    assert check_summation(convolutions, ENGINE, open_graph) == 2


@pytest.mark.parametrize("convolve", [tensor_float, winograd])
def test_winograd_and_tf32_are_found_out(convolutions: Graph, convolve: Any) -> None:
    with pytest.raises(VerificationError, match="times the error that any order of summation"):
        check_summation(convolutions, "other", engine_of(convolve))


def test_the_winograd_of_this_test_is_a_convolution(convolutions: Graph) -> None:
    """It agrees with the direct one on plain noise: only the probe tells them apart."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(1, 4, 8, 8)).astype(np.float32)
    found = {"pads": [1, 1, 1, 1], "kernel_shape": [3, 3]}
    stored = [convolutions.constants[n] for n in ("k1", "b1")]
    expected = direct(found, x, *stored)
    assert np.allclose(winograd(found, x, *stored), expected, atol=1e-4)
    assert not np.array_equal(winograd(found, x, *stored), expected)


def test_the_table_is_sorted_and_a_graph_without_a_proof_says_why(tmp_path: Path) -> None:
    found = verify(bounded_file(tmp_path / "m.onnx"), frames=1, isolated=False, rounding=True)
    assert found.rounding is not None
    largest = [part.largest for part in found.rounding.parts]
    assert largest == sorted(largest, reverse=True)
    node = helper.make_node("Sigmoid", ["image"], ["logits"])
    refused = rounding_summary(graph_of([node], {}, [1, 2, 4, 4], [1, 2, 4, 4]))
    assert refused.slack is None
    assert "Sigmoid" in refused.refusal
    assert "no bound on float32" in rounding_table(refused)
