"""How tight each layer's bound is: its ratio to a lower estimate of the true norm.

For people who ask whether the bound is loose. Nothing is concluded from it.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import onnx

from lipdeploy.core.manifest import LayerBound
from lipdeploy.export.verifier.graph import Graph, attributes
from lipdeploy.export.verifier.lipschitz import BYTES_PER_UNIT

_GRID = 8


def tightness(graph: Graph, layers: Sequence[LayerBound]) -> tuple[float | None, ...]:
    """Bound over estimate for each layer, 1 or more up to rounding; None where unknown.

    The estimate is the norm of the convolution on the infinite lattice at some frequencies, which
    its norm on any one frame stays below by little.
    """
    nodes = {
        node.input[1].removesuffix(".weight"): node
        for node in graph.nodes
        if node.op_type == "Conv" and node.input[1] in graph.constants
    }
    return tuple(_ratio(graph, nodes.get(layer.name), layer) for layer in layers)


def _ratio(graph: Graph, node: onnx.NodeProto | None, layer: LayerBound) -> float | None:
    if node is None:
        return None
    found = attributes(node)
    kernel = graph.constant(node, 1).astype(np.float64)
    if kernel.ndim != 4:
        return None
    first = not any(n.op_type == "Conv" for n in graph.ancestors(node.input[0]))
    estimate = symbol_norm(
        kernel,
        tuple(found.get("strides", (1, 1))),
        tuple(found.get("dilations", (1, 1))),
        int(found.get("group", 1)),
    ) * (BYTES_PER_UNIT if first else 1.0)
    return layer.bound / estimate if estimate > 0 else None


def symbol_norm(
    kernel: npt.NDArray[np.float64],
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
    groups: int,
) -> float:
    """Largest singular value of the symbol over a grid of frequencies: never above the norm.

    A stride folds the frequencies that alias onto each other into one matrix.
    """
    (sh, sw), (dh, dw) = stride, dilation
    y, x = np.arange(kernel.shape[2]) * dh, np.arange(kernel.shape[3]) * dw
    largest = 0.0
    for u, v in itertools.product(range(_GRID), range(_GRID // 2 + 1)):
        p = 2 * np.pi * (u / _GRID + np.arange(sh)) / sh
        q = 2 * np.pi * (v / _GRID + np.arange(sw)) / sw
        wave = np.exp(-1j * (np.outer(p, y)[:, None, :, None] + np.outer(q, x)[None, :, None, :]))
        symbol = np.tensordot(kernel, wave, axes=([2, 3], [2, 3])) / np.sqrt(sh * sw)
        for part in np.split(symbol.reshape(*symbol.shape[:2], -1), groups):
            joint = part.reshape(len(part), -1)
            gram = joint @ joint.conj().T
            largest = max(largest, float(np.linalg.eigvalsh(gram)[-1]))
    return float(np.sqrt(largest))
