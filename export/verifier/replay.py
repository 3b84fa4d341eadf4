"""Float64 execution of a graph in NumPy: the reference that no engine shares code with.

ONNX Runtime has no float64 convolution, so the oracle is replayed here: the stored weights,
exactly, in float64 arithmetic, floats of 16 bits included. A quantized activation is clipped to
what its integers can hold and not rounded: the rounding is part of an engine's error. The operators
are in `operators/`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from threadpoolctl import ThreadpoolController

from lipdeploy.core.errors import VerificationError
from lipdeploy.export.verifier.constants import folded_constants
from lipdeploy.export.verifier.graph import Graph, attributes, label
from lipdeploy.export.verifier.operators import OPERATORS
from lipdeploy.export.verifier.quantizers import activation_quantizers

Array = npt.NDArray[np.float64]
See = Callable[[onnx.NodeProto, list[Any], list[Any]], None]
"""Told of a node, its inputs and its outputs."""


class Replay:
    """Callable reference of `logits`, prepared once and run on many frames.

    Raises:
        VerificationError: an operator that is not known, or cannot be executed.
    """

    def __init__(self, graph: Graph, image: str = "image", logits: str = "logits") -> None:
        self.image, self.logits = image, logits
        self.constants = folded_constants(graph)
        needed = graph.ancestors(logits)
        self.nodes = [n for n in needed if not all(o in self.constants for o in n.output)]
        for node in self.nodes:
            if node.op_type not in OPERATORS or node.domain not in ("", "ai.onnx"):
                raise VerificationError(f"{label(node)} cannot be replayed in float64")
        found = activation_quantizers(graph, self.constants)
        self.clips = {id(each.node): each for each in found}
        self.clipped = {id(reader) for each in found for reader in each.readers}
        self.threads = ThreadpoolController()
        self.last_use = {name: i for i, node in enumerate(self.nodes) for name in node.input}

    def __call__(self, image: npt.NDArray[np.uint8]) -> Array:
        """Logits of one frame: uint8 (H, W, 3) to float64 (K, H, W)."""
        return np.asarray(self.run(image[None])[0])

    def run(self, value: npt.NDArray[Any], see: See | None = None) -> Array:
        """The output for an input of the graph's own shape; `see` is told of every node.

        On one thread: the products are small, and BLAS threads that wait for each other, or for an
        engine's, take several times as long.
        """
        with self.threads.limit(limits=1, user_api="blas"):
            return self._run(value.astype(np.float64), see)

    def _run(self, value: Array, see: See | None) -> Array:
        values: dict[str, Any] = {self.image: value}
        for index, node in enumerate(self.nodes):
            inputs = [values.get(n, self.constants.get(n)) if n else None for n in node.input]
            outputs = self._computed(node, inputs)
            values.update(zip(node.output, outputs, strict=False))
            if see is not None:
                see(node, inputs, outputs)
            for name in node.input:
                if self.last_use[name] == index and name != self.logits:
                    values.pop(name, None)
        return np.asarray(values[self.logits], np.float64)

    def _computed(self, node: onnx.NodeProto, inputs: list[Any]) -> list[Any]:
        if id(node) in self.clips:
            return [self.clips[id(node)].clipped(inputs[0])]
        if id(node) in self.clipped:
            return [inputs[0]]
        return _outputs(node, inputs)


def _outputs(node: onnx.NodeProto, inputs: list[Any]) -> list[Any]:
    try:
        outputs = OPERATORS[node.op_type](attributes(node), *inputs)
    except (ValueError, KeyError, IndexError, TypeError, ZeroDivisionError) as error:
        raise VerificationError(f"{label(node)} cannot be replayed in float64: {error}") from error
    if sum(map(bool, node.output)) > len(outputs):
        raise VerificationError(f"{label(node)}: only its first output can be replayed")
    return outputs
