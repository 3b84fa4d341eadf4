"""Upper bound on the Lipschitz constant of a graph, by pulling weights back to the input.

For every pair of inputs, the weighted norm sum_t ||diag(w_t) dt||^2 over a cut of tensors t bounds
the change of the logits. The walk starts at the logits with w = 1 and replaces the last node's
output by its inputs, so that the inequality stays true:

    Conv, Gemm    ||diag(w) K dx|| <= bound(diag(w) K) ||dx||
    Concat, Split, Slice, Pad, Reshape, ...   elements move, repeat or drop: equalities
    Max with Min  sorting two tensors does not increase the distance: both get max(w_max, w_min)
    Add           one linear map where it is one, otherwise shared optimally (rules/sums.py)
    Relu, ...     the largest slope

Weights of one tensor reached on several paths add up as squares. Because elements carry their own
weights, a split whose halves are joined again costs nothing, where a bound per tensor would lose
sqrt(2) at every block. The rules are in `rules/`, one family of operators a file.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx

from lipdeploy.core.errors import VerificationError
from lipdeploy.core.manifest import LayerBound
from lipdeploy.export.verifier.constants import FLOATS
from lipdeploy.export.verifier.graph import Graph
from lipdeploy.export.verifier.rules import RULES
from lipdeploy.export.verifier.rules.file import File
from lipdeploy.export.verifier.rules.linear import BYTES_PER_UNIT
from lipdeploy.export.verifier.rules.walk import Walk

# Opsets whose operators the rules were read from: before 13, Split and Squeeze differ.
OLDEST_OPSET, NEWEST_OPSET = 13, 22
_UNIT_ROUNDOFF = 2.0**-53


@dataclass(frozen=True)
class GraphBound:
    """Bound of the whole graph and of its linear layers, per unit of `image` in [0, 1]."""

    lipschitz: float
    layers: tuple[LayerBound, ...]


@dataclass(frozen=True)
class Interface:
    """Names of the one input and the output of a graph that a bound is asked for."""

    image: str
    logits: str


def graph_bound(graph: Graph, image: str = "image", logits: str = "logits") -> GraphBound:
    """Bound the Lipschitz constant of one tensor with respect to the image in [0, 1].

    An image of bytes is divided by 255; one of floats is taken to be in [0, 1] as it is. The
    bound is that of the real-arithmetic function of the stored weights, for all real images.

    Raises:
        VerificationError: an operator that has no rule, named with its place, a graph that depends
            on more than the image, or a bound that is not finite.
    """
    _require_known(graph, image, logits)
    file = File(graph, image, RULES)
    nodes = [node for node in graph.ancestors(logits) if not file.is_constant(node)]
    walk = Walk(file, nodes, records=True)
    walk.add(logits, np.ones((1,) * len(graph.shape(logits))))
    with np.errstate(all="ignore"):  # what is not finite is refused below, with its place above
        left = walk.run()
    if set(left) != {image}:
        raise VerificationError(
            f"{logits!r} depends on {sorted(left) or 'nothing'}; expected {image!r} alone"
        )
    # every node rounds a few products and roots of its weights
    slack = 1.0 + 64 * (len(nodes) + 8) * _UNIT_ROUNDOFF
    unit = 1.0 if graph.dtype(image) in FLOATS else BYTES_PER_UNIT
    lipschitz = float(left[image].max()) * unit * slack
    if not np.isfinite(lipschitz):
        raise VerificationError(f"the bound of {logits!r} is {lipschitz}, not a finite number")
    return GraphBound(lipschitz, tuple(reversed(walk.layers)))


def sole_interface(graph: Graph) -> Interface:
    """The image and the logits of a file that is not ours: its only input and its first output.

    Raises:
        VerificationError: more than one input, or one that holds neither bytes nor floats.
    """
    inputs = [i.name for i in graph.model.graph.input if i.name not in graph.constants]
    if len(inputs) != 1:
        raise VerificationError(f"the graph has inputs {inputs}; expected one image")
    if graph.dtype(inputs[0]) not in (*FLOATS, onnx.TensorProto.UINT8):
        raise VerificationError(f"input {inputs[0]!r} holds neither bytes nor floats")
    return Interface(inputs[0], graph.model.graph.output[0].name)


def foreign_bound(graph: Graph) -> GraphBound:
    """Bound any segmentation graph: first output with respect to its only input in [0, 1].

    Nothing of the file is believed but its weights, so an unconstrained network gets its large L.

    Raises:
        VerificationError: as for `graph_bound` and `sole_interface`.
    """
    interface = sole_interface(graph)
    return graph_bound(graph, interface.image, interface.logits)


def _require_known(graph: Graph, image: str, logits: str) -> None:
    """The image is an input and nothing else; the logits are floats; the opset was read."""
    standard = [o.version for o in graph.model.opset_import if o.domain in ("", "ai.onnx")]
    if len(standard) != 1 or not OLDEST_OPSET <= standard[0] <= NEWEST_OPSET:
        raise VerificationError(
            f"opset {standard} is not known; expected {OLDEST_OPSET} to {NEWEST_OPSET}"
        )
    if graph.model.functions:  # one of them may stand in for a standard operator
        raise VerificationError(f"the file defines {len(graph.model.functions)} operators itself")
    names = {info.name for info in graph.model.graph.input}
    if image not in names or image in graph.constants or image in graph.producer:
        raise VerificationError(f"{image!r} is not an input of the graph; it has {sorted(names)}")
    if graph.dtype(image) not in (*FLOATS, onnx.TensorProto.UINT8):
        raise VerificationError(f"input {image!r} holds neither bytes nor floats")
    if logits in graph.producer and graph.dtype(logits) not in FLOATS:
        raise VerificationError(f"{logits!r} does not hold floats")
