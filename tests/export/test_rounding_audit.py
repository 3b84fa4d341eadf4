"""Level `proved`: float64 radii never above those of exact fractions."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import onnx
import pytest

from lipdeploy.core.errors import VerificationError
from lipdeploy.export.verifier.graph import Graph
from lipdeploy.export.verifier.rounding.arithmetic import FLOAT64
from lipdeploy.export.verifier.rounding.audit_session import AuditSession
from lipdeploy.export.verifier.rounding.bound import Rounding
from lipdeploy.export.verifier.rounding.comparison import compared
from lipdeploy.export.verifier.rounding.reference import Reference
from lipdeploy.runtime.model_file import ModelFile, read_model
from lipdeploy.runtime.session import Prediction
from tests.export.rounding_graphs import local_graph, products
from tests.export.tiny_file import SIDE, tiny_file


@pytest.fixture
def file(tmp_path: Path) -> ModelFile:
    onnx.save_model(tiny_file(), str(tmp_path / "tiny.onnx"))
    return read_model(tmp_path / "tiny.onnx")


def frames(count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    found = [rng.integers(0, 256, (SIDE, SIDE, 3), np.uint8) for _ in range(count)]
    return [*found, np.zeros((SIDE, SIDE, 3), np.uint8), np.full((SIDE, SIDE, 3), 128, np.uint8)]


def exact_margin(file: ModelFile, pixel: np.ndarray) -> Fraction:
    """By fractions, from the stored bytes of the one convolution."""
    kernel = Graph(onnx.load_model_from_string(file.data)).constants["kernel"]
    centred = [Fraction(int(v)) - Fraction(255, 2) for v in pixel]
    logits = [
        sum((Fraction(float(w)) * v for w, v in zip(row, centred, strict=True)), Fraction(0))
        for row in kernel[:, :, 0, 0]
    ]
    return abs(logits[0] - logits[1])


def test_a_proved_radius_is_never_above_the_exact_one(file: ModelFile) -> None:
    """r <= m / (sqrt2 L) in rational numbers, and no further below than rounding explains."""
    reference = Reference(file)
    doubled = 2 * Fraction(reference.lipschitz) ** 2
    tight = []
    for frame in frames(4):
        found = reference.judge(frame)
        for place in np.ndindex(found.radius.shape):
            margin, radius = exact_margin(file, frame[place]), Fraction(float(found.radius[place]))
            assert doubled * radius**2 <= margin**2
            ceiling = Fraction(float(found.ceiling[place]))
            declared = Fraction(max(reference.lipschitz, file.manifest.lipschitz))
            assert 2 * declared**2 * ceiling**2 >= margin**2
            if margin > Fraction(1, 1000):
                tight.append(float(radius**2 * doubled / margin**2))
    assert min(tight) > 1 - 1e-6


def test_float64_loses_less_than_its_bound_on_three_layers() -> None:
    graph = local_graph(2)
    rounding = Rounding(graph, FLOAT64)
    image = np.random.default_rng(3).integers(0, 256, (8, 8, 3), np.uint8)
    logits, exact = rounding.replay(image), exact_logits(graph, image)
    bound = rounding.of_frame(image).differences
    assert bound.max() < 1e-10
    for y, x in np.ndindex(bound.shape):
        errors = [Fraction(float(v)) - e for v, e in zip(logits[:, y, x], exact[y][x], strict=True)]
        assert abs(errors[0] - errors[1]) <= Fraction(float(bound[y, x]))


def exact_logits(graph: Graph, image: np.ndarray) -> list[list[list[Fraction]]]:
    """The network of `local_graph` in rational numbers: rows, columns, classes."""
    stored = {
        k: np.vectorize(lambda v: Fraction(float(v)), otypes=[object])(v)
        for k, v in graph.constants.items()
    }
    pixels = np.vectorize(lambda v: Fraction(int(v)), otypes=[object])(image)
    x = pixels.transpose(2, 0, 1) - Fraction(255, 2)
    nodes = {node.output[0]: node for node in graph.nodes}
    first = _convolved(nodes["c0"], x, stored["k0"], stored["b0"])
    a, b = first[:4], first[4:]
    high, low = np.maximum(a, b), np.minimum(a, b)
    second = _convolved(nodes["c1"], low, stored["k1"], stored["b1"])
    second = np.maximum(second, np.full_like(second, Fraction(0)))
    joined = np.concatenate([high, second])
    third = _convolved(nodes["c2"], joined, stored["k2"], np.full(8, Fraction(0)))
    cells = third.reshape(2, 2, 2, *third.shape[1:]).transpose(0, 3, 1, 4, 2).reshape(2, 8, 8)
    return [[[cells[k, y, x] for k in range(2)] for x in range(8)] for y in range(8)]


def _convolved(
    node: onnx.NodeProto, x: np.ndarray, kernel: np.ndarray, bias: np.ndarray
) -> np.ndarray:
    """Sums of exact products; where each tap reads is found with the taps' own numbers."""
    taps = np.arange(1, x.size + 1, dtype=np.float64).reshape(x.shape)
    ones = np.ones(kernel.shape)
    reads = products(node, taps[None], ones).astype(int)  # 0: padding, else index + 1
    flat = np.concatenate([[Fraction(0)], x.ravel()])
    found = np.empty(reads.shape[:3], object)
    for o, r, c in np.ndindex(found.shape):
        found[o, r, c] = (flat[reads[o, r, c]] * kernel[o].ravel()).sum() + bias[o]
    return found


def test_the_session_says_proved_and_rounds_down(file: ModelFile) -> None:
    frame = frames(1)[0]
    with AuditSession(file) as session:
        assert session.manifest.numerics.level == "proved"
        assert session.manifest.lipschitz == session.reference.lipschitz
        found = session.infer(frame, [0.25])
        proved = session.reference.judge(frame).radius
    assert found.radius.dtype == np.float32
    assert (found.radius.astype(np.float64) <= proved).all()
    assert np.allclose(found.radius, proved, rtol=1e-6)
    with pytest.raises(VerificationError, match="session is closed"):
        session.infer(frame, [0.25])


def test_a_file_that_lies_about_l_is_audited_with_the_true_one(tmp_path: Path) -> None:
    model = tiny_file()
    for entry in model.metadata_props:
        if entry.key == "lipdeploy.lipschitz":
            entry.value = "0.001"
    onnx.save_model(model, str(tmp_path / "lie.onnx"))
    session = AuditSession(read_model(tmp_path / "lie.onnx"))
    assert session.manifest.lipschitz > 0.5


def test_over_claims_and_other_classes_are_counted(file: ModelFile) -> None:
    reference, frame = Reference(file), frames(1)[0]
    found = reference.judge(frame)
    honest = Prediction(
        found.mask, found.radius.astype(np.float32) * 0.999, np.zeros(1, np.float32)
    )
    assert not compared(reference, frame, honest)
    radius = honest.radius.copy()
    radius[2, 3] = found.ceiling[2, 3] * 1.001
    mask = found.mask.copy()
    clear = tuple(np.argwhere(found.margin > 1e-2)[0])
    mask[clear] = 1 - mask[clear]
    wrong = compared(reference, frame, Prediction(mask, radius, honest.flips))
    assert (wrong.over_claims, wrong.other_class) == (1, 1)
    assert "1 pixels claim a radius above float64" in str(wrong)
