"""Float64 execution of a graph in NumPy: the reference that no engine shares code with.

ONNX Runtime has no float64 convolution, so the oracle is replayed here: the stored float32
weights, exactly, in float64 arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view
from threadpoolctl import ThreadpoolController

from lipdeploy.core.errors import VerificationError
from lipdeploy.export.verifier.graph import Graph, attributes, label

Array = npt.NDArray[np.float64]


class Replay:
    """Callable reference of `logits`, prepared once and run on many frames."""

    def __init__(self, graph: Graph, image: str = "image", logits: str = "logits") -> None:
        self.image, self.logits = image, logits
        self.nodes = graph.ancestors(logits)
        unknown = [node for node in self.nodes if node.op_type not in OPERATORS]
        if unknown:
            raise VerificationError(f"{label(unknown[0])} cannot be replayed in float64")
        self.constants = {
            name: value.astype(np.float64) if value.dtype == np.float32 else value
            for name, value in graph.constants.items()
        }
        self.threads = ThreadpoolController()
        self.last_use = {name: i for i, node in enumerate(self.nodes) for name in node.input}

    def __call__(self, image: npt.NDArray[np.uint8]) -> Array:
        """Logits of one frame: uint8 (H, W, 3) to float64 (K, H, W).

        On one thread: the products are small, and BLAS threads that wait for each other, or for an
        engine's, take several times as long.
        """
        with self.threads.limit(limits=1, user_api="blas"):
            return self._run(image)

    def _run(self, image: npt.NDArray[np.uint8]) -> Array:
        values: dict[str, Any] = {self.image: image[None].astype(np.float64)}
        for index, node in enumerate(self.nodes):
            inputs = [values.get(n, self.constants.get(n)) for n in node.input if n]
            outputs = OPERATORS[node.op_type](attributes(node), *inputs)
            values.update(zip(node.output, outputs, strict=True))
            for name in node.input:
                if self.last_use[name] == index:
                    values.pop(name, None)
        return np.asarray(values[self.logits][0])


def _conv(found: dict[str, Any], x: Array, kernel: Array, bias: Array | None = None) -> list[Array]:
    if found.get("group", 1) != 1 or found.get("auto_pad", b"NOTSET") != b"NOTSET":
        raise VerificationError("replay knows convolutions without groups and with explicit pads")
    sh, sw = found.get("strides", (1, 1))
    dh, dw = found.get("dilations", (1, 1))
    top, left, bottom, right = found.get("pads", (0, 0, 0, 0))
    padded = np.pad(x[0], ((0, 0), (top, bottom), (left, right)))
    kh, kw = kernel.shape[2:]
    span = (dh * (kh - 1) + 1, dw * (kw - 1) + 1)
    windows = sliding_window_view(padded, span, (1, 2))[:, ::sh, ::sw, ::dh, ::dw]
    height, width = windows.shape[1:3]
    columns = windows.transpose(0, 3, 4, 1, 2).reshape(-1, height * width)
    total = kernel.reshape(len(kernel), -1) @ columns
    if bias is not None:
        total += bias[:, None]
    return [total.reshape(1, -1, height, width)]


def _split(
    found: dict[str, Any], x: Array, sizes: npt.NDArray[np.int64] | None = None
) -> list[Array]:
    if sizes is not None:
        return list(np.split(x, np.cumsum(sizes)[:-1], found.get("axis", 0)))
    return list(np.split(x, found["num_outputs"], found.get("axis", 0)))


def _depth_to_space(found: dict[str, Any], x: Array) -> list[Array]:
    if found.get("mode", b"DCR") != b"CRD":
        raise VerificationError("replay knows DepthToSpace in CRD order")
    b = found["blocksize"]
    _, channels, h, w = x.shape
    cells = x.reshape(1, channels // b**2, b, b, h, w).transpose(0, 1, 4, 2, 5, 3)
    return [cells.reshape(1, channels // b**2, h * b, w * b)]


OPERATORS: dict[str, Callable[..., list[Any]]] = {
    "Abs": lambda _, x: [np.abs(x)],
    "Add": lambda _, a, b: [a + b],
    "Cast": lambda _, x: [x.astype(np.float64)],
    "Concat": lambda found, *parts: [np.concatenate(parts, found["axis"])],
    "Conv": _conv,
    "DepthToSpace": _depth_to_space,
    "Identity": lambda _, x: [x],
    "Max": lambda _, a, b: [np.maximum(a, b)],
    "Min": lambda _, a, b: [np.minimum(a, b)],
    "Neg": lambda _, x: [-x],
    "Relu": lambda _, x: [np.maximum(x, 0.0)],
    "Split": _split,
    "Sub": lambda _, a, b: [a - b],
    "Transpose": lambda found, x: [np.transpose(x, found["perm"])],
}
