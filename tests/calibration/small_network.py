"""A small trunk with every operator that calibration touches, and the same network in plain NumPy.

The NumPy form reads a dictionary of arrays, no graph: kernels, biases and ranges are handed to it.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from lipdeploy.core.manifest import Manifest, Numerics
from lipdeploy.export.opset import IR_VERSION, OPSET
from lipdeploy.export.verifier.graph import Graph
from lipdeploy.export.verifier.lipschitz import graph_bound

SIDE = 16
Arrays = dict[str, npt.NDArray[Any]]
NO_CLIP = (-np.inf, np.inf)


def arrays(seed: int = 0) -> Arrays:
    """Kernels of norm near 1, as an orthogonal network has them."""
    rng = np.random.default_rng(seed)
    shapes = {"entry": (8, 3, 3, 3), "middle": (8, 8, 3, 3), "last": (8, 16, 1, 1)}
    shapes["up"] = (8, 2, 2, 2)
    made = {}
    for name, shape in shapes.items():
        taps = rng.normal(size=shape)
        taps /= np.linalg.norm(taps.reshape(shape[0], -1), 2) * (1.5 if shape[2] > 1 else 1.0)
        made[f"{name}.weight"] = (taps / (255 if name == "entry" else 1)).astype(np.float32)
        outputs = shape[1] if name == "up" else shape[0]
        made[f"{name}.bias"] = rng.normal(scale=0.02, size=outputs).astype(np.float32)
    return made


def trunk(values: Arrays) -> onnx.ModelProto:
    """Stride 2, a sorted pair, a skip, and a transposed convolution back to full size."""
    node = helper.make_node
    three: dict[str, Any] = {"pads": [1, 1, 1, 1], "kernel_shape": [3, 3]}
    nodes = [
        node("Cast", ["image"], ["bytes"], to=TensorProto.FLOAT),
        node("Transpose", ["bytes"], ["planes"], perm=[0, 3, 1, 2]),
        node("Sub", ["planes", "centre"], ["centred"]),
        node("Conv", ["centred", "entry.weight", "entry.bias"], ["a"], strides=[2, 2], **three),
        node("Split", ["a"], ["a1", "a2"], axis=1, num_outputs=2),
        node("Max", ["a1", "a2"], ["top"]),
        node("Min", ["a1", "a2"], ["low"]),
        node("Concat", ["top", "low"], ["b"], axis=1),
        node("Conv", ["b", "middle.weight", "middle.bias"], ["c"], **three),
        node("Max", ["c", "b"], ["d1"]),
        node("Min", ["c", "b"], ["d2"]),
        node("Concat", ["d1", "d2"], ["d"], axis=1),
        node("Conv", ["d", "last.weight", "last.bias"], ["e"]),
        node("ConvTranspose", ["e", "up.weight", "up.bias"], ["logits"], strides=[2, 2]),
    ]
    stored = {"centre": np.float32(127.5), **values}
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, [1, SIDE, SIDE, 3])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 2, SIDE, SIDE])],
        [numpy_helper.from_array(np.asarray(v), n) for n, v in stored.items()],
    )
    opsets = [helper.make_opsetid("", OPSET)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)


def manifest(model: onnx.ModelProto) -> Manifest:
    bound = graph_bound(Graph(model))
    return Manifest(
        class_names=("left", "right"),
        height=SIDE,
        width=SIDE,
        head="threshold",
        budgets=1,
        lipschitz=bound.lipschitz * (1 + 1e-9),
        layers=bound.layers,
        preprocessing_lipschitz=1.0,
        numerics=Numerics("float32", 1e-5, "none"),
        weights_sha256="",
    )


def logits(
    values: Mapping[str, npt.NDArray[Any]],
    image: npt.NDArray[np.uint8],
    clips: Mapping[str, tuple[float, float]] | None = None,
    centre: float = 127.5,
) -> npt.NDArray[np.float64]:
    """The network in float64, shape (2, SIDE, SIDE); `clips` by name of tensor."""
    exact = {name: np.asarray(value, np.float64) for name, value in values.items()}
    ranges = clips or {}

    def seen(name: str, x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.clip(x, *ranges.get(name, NO_CLIP))

    x = seen("centred", image.transpose(2, 0, 1).astype(np.float64) - centre)
    a = convolved(x, exact["entry.weight"], exact["entry.bias"], stride=2, pad=1)
    b = np.concatenate([np.maximum(a[:4], a[4:]), np.minimum(a[:4], a[4:])])
    c = convolved(seen("b", b), exact["middle.weight"], exact["middle.bias"], stride=1, pad=1)
    d = np.concatenate([np.maximum(c, b), np.minimum(c, b)])
    e = convolved(seen("d", d), exact["last.weight"], exact["last.bias"], stride=1, pad=0)
    e = seen("e", e)
    made = np.zeros((2, SIDE, SIDE))
    for i, j in itertools.product(range(2), range(2)):
        made[:, i::2, j::2] = np.einsum("io,ihw->ohw", exact["up.weight"][:, :, i, j], e)
    return made + exact["up.bias"][:, None, None]


def convolved(
    x: npt.NDArray[np.float64],
    kernel: npt.NDArray[np.float64],
    bias: npt.NDArray[np.float64],
    stride: int,
    pad: int,
) -> npt.NDArray[np.float64]:
    """Cross-correlation, pixel by pixel."""
    padded = np.pad(x, ((0, 0), (pad, pad), (pad, pad)))
    size = (padded.shape[1] - kernel.shape[2]) // stride + 1
    made = np.zeros((len(kernel), size, size))
    for y, z in itertools.product(range(size), range(size)):
        rows = slice(y * stride, y * stride + kernel.shape[2])
        columns = slice(z * stride, z * stride + kernel.shape[3])
        made[:, y, z] = np.einsum("oikl,ikl->o", kernel, padded[:, rows, columns])
    return made + bias[:, None, None]


def frame(seed: int) -> npt.NDArray[np.uint8]:
    """A frame with edges and noise."""
    rng = np.random.default_rng(seed)
    found = rng.integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    found[: SIDE // 2, seed % SIDE :] = rng.integers(0, 256, 3, np.uint8)
    return found
