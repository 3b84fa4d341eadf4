"""Weights of the exact tail behind every node, from the verifier's own backward walk.

At the moment when the walk meets a node, the weights w of its output satisfy: if that output alone
moves by e and the rest of the cut stays, the target moves by at most ||diag(w) e||_2. Sums are
pulled back term by term, never as one map of an earlier tensor, so that every node between keeps
its weights.
"""

from __future__ import annotations

import numpy as np
import onnx

from lipdeploy.core.errors import VerificationError
from lipdeploy.export.verifier.constants import FLOATS
from lipdeploy.export.verifier.graph import Graph, label
from lipdeploy.export.verifier.quantizers import activation_quantizers
from lipdeploy.export.verifier.rules import RULES
from lipdeploy.export.verifier.rules.file import File
from lipdeploy.export.verifier.rules.linear import BYTES_PER_UNIT
from lipdeploy.export.verifier.rules.walk import Walk
from lipdeploy.export.verifier.rules.weights import Weights

# A walk of n nodes rounds a few products and roots a node: relative 2^-30 covers a million nodes.
_UP = 1.0 + 2.0**-30


class _RecordingWalk(Walk):
    """Keeps the weights of every tensor at the moment when the node that makes it is met."""

    def __init__(self, file: File, nodes: list[onnx.NodeProto]) -> None:
        super().__init__(file, nodes, records=False)
        self.met: dict[str, Weights] = {}

    def _pull_back(self, node: onnx.NodeProto) -> None:
        for name in node.output:
            if name in self.weights:
                self.met[name] = self.weights[name]
        super()._pull_back(node)


class Tail:
    """The exact network behind every node, up to one target tensor."""

    def __init__(self, walk: _RecordingWalk, target: str) -> None:
        self._walk, self._target = walk, target

    def weights(self, node: onnx.NodeProto) -> Weights:
        """Weights of a node's first output.

        Raises:
            VerificationError: the walk passed the node by.
        """
        found = self._walk.met.get(node.output[0])
        if found is None:
            raise VerificationError(
                f"{label(node)}: no bound on what follows it up to {self._target!r}"
            )
        return np.asarray(found * _UP)

    def gain(self, node: onnx.NodeProto) -> float:
        """Largest factor by which an error of a node's output moves the target; 0 off its way."""
        if not any(name in self._walk.met for name in node.output):
            return 0.0
        return float(self.weights(node).max())


class Tails:
    """Tails of one graph, sharing the bounds of its layers."""

    def __init__(self, graph: Graph, image: str = "image") -> None:
        self.graph, self.image = graph, image
        self.file = File(graph, image, RULES)
        sums = (node for node in graph.nodes if node.op_type in ("Add", "Sub", "Sum"))
        self.file.joint.update((id(node), False) for node in sums)
        found = activation_quantizers(graph, self.file.constants)
        self.clips = {id(node): each for each in found for node in (each.node, *each.readers)}
        self._found: dict[str, tuple[Tail, float]] = {}

    def nodes(self, target: str) -> list[onnx.NodeProto]:
        """Nodes that a tensor depends on, but for constants, in order."""
        return [n for n in self.graph.ancestors(target) if not self.file.is_constant(n)]

    def tail(self, target: str) -> Tail:
        """The tail of every node up to a tensor."""
        return self._of(target)[0]

    def lipschitz(self, target: str) -> float:
        """Bound of a tensor's change per unit of the image in [0, 1]."""
        return self._of(target)[1]

    def _of(self, target: str) -> tuple[Tail, float]:
        if target not in self._found:
            self._found[target] = self._walked(target)
        return self._found[target]

    def _walked(self, target: str) -> tuple[Tail, float]:
        walk = _RecordingWalk(self.file, self.nodes(target))
        walk.add(target, np.ones((1,) * len(self.graph.shape(target))))
        with np.errstate(all="ignore"):  # what is not finite is refused below
            left = walk.run()
        if left.keys() - {self.image}:
            raise VerificationError(f"{target!r} depends on {sorted(left)}, not on the image alone")
        unit = 1.0 if self.graph.dtype(self.image) in FLOATS else BYTES_PER_UNIT
        image = left.get(self.image)
        lipschitz = 0.0 if image is None else float(image.max()) * unit * _UP
        if not np.isfinite(lipschitz):
            raise VerificationError(f"the bound of {target!r} is {lipschitz}, not a finite number")
        return Tail(walk, target), lipschitz
