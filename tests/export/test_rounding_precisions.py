"""Level `proved` of files in other precisions: radii never above those of exact fractions."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import onnx
import pytest

from lipdeploy.export.verifier.graph import Graph, load_model
from lipdeploy.export.verifier.precision import PRECISIONS
from lipdeploy.export.verifier.rounding.reference import Reference
from lipdeploy.runtime.model_file import read_model
from tests.export.rounding_graphs import products
from tests.export.toy_quantized import KIND, SIDE, honest_file

Rationals = np.ndarray


def frame(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE, 3), np.uint8)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_proved_radius_is_never_above_the_exact_one(precision: str, tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    onnx.save_model(honest_file(precision), str(path))
    reference = Reference(read_model(path))
    doubled, tight = 2 * Fraction(reference.lipschitz) ** 2, []
    for image in (frame(0), frame(1) // 128 * 255):  # the second one reaches the clips
        found = reference.judge(image)
        exact = exact_logits(load_model(path), precision, image)
        margins = abs(exact[0] - exact[1])
        for place in np.ndindex(SIDE, SIDE):
            radius, margin = Fraction(float(found.radius[place])), margins[place]
            assert doubled * radius**2 <= margin**2
            if margin > Fraction(1, 1000):
                tight.append(float(doubled * radius**2 / margin**2))
    assert min(tight) > 1 - 1e-6


def exact_logits(model: onnx.ModelProto, precision: str, image: np.ndarray) -> Rationals:
    """The network of `toy_trunk` in rational numbers, read from its bytes. Shape: (2, H, W)."""
    graph = Graph(model)
    stored, nodes = graph.constants, {n.output[0]: n for n in graph.nodes}
    pixels = np.vectorize(lambda v: Fraction(int(v)), otypes=[object])(image)
    x = clipped(stored, precision, "centred", pixels.transpose(2, 0, 1) - Fraction(255, 2))
    x = convolved(nodes["features"], x, kernel(stored, precision, "first"))
    x = clipped(stored, precision, "features", x)
    a, b = x[:2], x[2:]
    x = clipped(stored, precision, "sorted", np.concatenate([np.maximum(a, b), np.minimum(a, b)]))
    last = nodes.get("half", nodes["logits"])
    return convolved(last, x, kernel(stored, precision, "last"))


def rational(values: np.ndarray) -> Rationals:
    return np.asarray(np.vectorize(lambda v: Fraction(float(v)), otypes=[object])(values))


def kernel(stored: dict[str, np.ndarray], precision: str, name: str) -> Rationals:
    if precision in ("float32", "fp16"):
        return rational(stored[name])
    scale = rational(stored[f"{name}/scale"])[:, None, None, None]
    return np.asarray(rational(stored[f"{name}/stored"]) * scale)


def clipped(stored: dict[str, np.ndarray], precision: str, name: str, x: Rationals) -> Rationals:
    if precision not in KIND:
        return x
    scale = Fraction(float(stored[f"{name}/scale"]))
    least, most = (
        end * scale for end in (np.iinfo(KIND[precision]).min, np.iinfo(KIND[precision]).max)
    )
    return np.asarray(np.maximum(np.minimum(x, np.full_like(x, most)), np.full_like(x, least)))


def convolved(node: onnx.NodeProto, x: Rationals, weights: Rationals) -> Rationals:
    """Sums of exact products; where each tap reads is found with the taps' own numbers."""
    taps = np.arange(1, x.size + 1, dtype=np.float64).reshape(x.shape)
    reads = products(node, taps[None], np.ones(weights.shape)).astype(int)  # 0: padding
    flat = np.concatenate([[Fraction(0)], x.ravel()])
    found = np.empty(reads.shape[:3], object)
    for o, r, c in np.ndindex(found.shape):
        found[o, r, c] = (flat[reads[o, r, c]] * weights[o].ravel()).sum()
    return found
