"""Upper bound on the Lipschitz constant of a graph, by pulling weights back to the input.

For every perturbation, the weighted norm sum_t ||diag(w_t) dt||^2 over a cut of tensors t bounds
the change of the logits. The walk starts at the logits with w = 1 and replaces the last node's
output by its inputs, so that the inequality stays true:

    Conv          ||diag(w) K dx|| <= bound(diag(w) K) ||dx||
    Concat, Split the channel weights are cut or joined: equalities
    Max with Min  sorting two tensors does not increase the distance: both get max(w_max, w_min)
    Add           ||a + b||^2 <= (1 + s) ||a||^2 + (1 + 1 / s) ||b||^2, s from the forward bounds

Weights of one tensor reached on several paths add up as squares. Because channels carry their own
weights, a split whose halves are joined again costs nothing, where a bound per tensor would lose
sqrt(2) at every block.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx

from lipdeploy.core.errors import VerificationError
from lipdeploy.core.manifest import LayerBound
from lipdeploy.core.operator_norm import convolution_norm_bound
from lipdeploy.export.verifier.graph import Graph, attributes, label

Weights = npt.NDArray[np.float64]  # one per channel (axis 1)
BYTES_PER_UNIT = 255.0
_UNIT_ROUNDOFF = 2.0**-53


@dataclass(frozen=True)
class GraphBound:
    """Bound of the whole graph and of its linear layers, per unit of `image` in [0, 1]."""

    lipschitz: float
    layers: tuple[LayerBound, ...]


def graph_bound(graph: Graph, image: str = "image", logits: str = "logits") -> GraphBound:
    """Bound the Lipschitz constant of `logits` with respect to `image` / 255.

    Raises:
        VerificationError: an operator that has no rule, named with its place.
    """
    nodes = graph.ancestors(logits)
    walk = _Walk(graph, image, nodes)
    walk.add(logits, np.ones(graph.shape(logits)[1]))
    for node in reversed(nodes):
        walk.pull_back(node)
    if set(walk.weights) != {image}:
        raise VerificationError(
            f"{logits!r} depends on {sorted(walk.weights) or 'nothing'}; expected {image!r} alone"
        )
    slack = 1.0 + 64 * (len(nodes) + 8) * _UNIT_ROUNDOFF
    lipschitz = float(walk.weights[image].max()) * BYTES_PER_UNIT * slack
    return GraphBound(lipschitz, tuple(reversed(walk.layers)))


class _Walk:
    """State of one backward walk: the weights of the current cut."""

    def __init__(self, graph: Graph, image: str, nodes: Sequence[onnx.NodeProto]) -> None:
        self.graph, self.image = graph, image
        self.weights: dict[str, Weights] = {}
        self.layers: list[LayerBound] = []
        self.partner = _max_min_pairs(nodes)
        self.bytes = _byte_tensors(graph, image)

    def add(self, tensor: str, weights: Weights) -> None:
        """Join weights to a tensor of the cut; constants do not move and are dropped."""
        if tensor in self.graph.constants or not tensor:
            return
        before = self.weights.get(tensor)
        self.weights[tensor] = weights if before is None else np.hypot(before, weights)

    def take(self, tensor: str) -> Weights:
        """Remove a tensor from the cut and return its weights, 0 if it does not matter."""
        shape = self.graph.shape(tensor)
        channels = shape[1] if len(shape) > 1 else 1
        return self.weights.pop(tensor, np.zeros(channels))

    def pull_back(self, node: onnx.NodeProto) -> None:
        rule = RULES.get(node.op_type)
        if rule is None or node.domain not in ("", "ai.onnx"):
            raise VerificationError(
                f"{label(node)} has no Lipschitz rule; known operators: {', '.join(sorted(RULES))}"
            )
        rule(self, node)


def _max_min_pairs(nodes: Sequence[onnx.NodeProto]) -> dict[int, onnx.NodeProto]:
    """For the earlier of a Max and a Min with the same two inputs, the later one.

    Only nodes that the logits depend on count: a dead partner would take the live one's place.
    """
    seen: dict[tuple[str, ...], onnx.NodeProto] = {}
    pairs: dict[int, onnx.NodeProto] = {}
    for node in nodes:
        if node.op_type in ("Max", "Min") and len(node.input) == 2:
            first = seen.setdefault(tuple(sorted(node.input)), node)
            if first.op_type != node.op_type:
                pairs.setdefault(id(first), node)
    return pairs


def _byte_tensors(graph: Graph, image: str) -> set[str]:
    """Tensors still in units of bytes: image after casts, layout changes and shifts."""
    found = {image}
    for node in graph.nodes:
        if node.op_type in ("Cast", "Transpose", "Sub", "Add") and node.input[0] in found:
            found.update(node.output)
    return found


def _pass_through(walk: _Walk, node: onnx.NodeProto) -> None:
    walk.add(node.input[0], walk.take(node.output[0]))


def _uniform(walk: _Walk, node: onnx.NodeProto) -> None:
    """The elements move or are repeated nowhere: the largest weight holds for all."""
    weights = walk.take(node.output[0])
    shape = walk.graph.shape(node.input[0])
    walk.add(node.input[0], np.full(shape[1] if len(shape) > 1 else 1, weights.max()))


def _cast(walk: _Walk, node: onnx.NodeProto) -> None:
    source = walk.graph.producer.get(node.input[0])
    to_float = attributes(node)["to"] == onnx.TensorProto.FLOAT
    if not (to_float and (source is None and node.input[0] == walk.image)):
        raise VerificationError(f"{label(node)}: only the cast of the image to float32 is known")
    _pass_through(walk, node)


def _conv(walk: _Walk, node: onnx.NodeProto) -> None:
    weights = walk.take(node.output[0])
    found = attributes(node)
    kernel = walk.graph.constant(node, 1).astype(np.float64)
    if kernel.ndim != 4:
        raise VerificationError(f"{label(node)}: kernel of {kernel.ndim} axes, expected 4")
    if len(node.input) > 2:
        walk.graph.constant(node, 2)
    if not np.isfinite(kernel).all():
        raise VerificationError(f"{label(node)}: the kernel holds values that are not finite")
    scale = float(weights.max())
    shape = weights / scale if scale else weights
    groups = int(found.get("group", 1))
    bound = functools.partial(
        convolution_norm_bound,
        stride=tuple(found.get("strides", (1, 1))),
        dilation=tuple(found.get("dilations", (1, 1))),
        groups=groups,
    )
    norm = bound(kernel)
    joint = norm if (shape == 1).all() else bound(kernel * shape[:, None, None, None])
    unit = BYTES_PER_UNIT if node.input[0] in walk.bytes else 1.0
    name = node.input[1].removesuffix(".weight")
    walk.layers.append(LayerBound(name, node.op_type, tuple(kernel.shape), norm * unit))
    walk.add(node.input[0], np.full(kernel.shape[1] * groups, scale * joint))


def _max_min(walk: _Walk, node: onnx.NodeProto) -> None:
    later = walk.partner.get(id(node))
    if later is None and any(partner is node for partner in walk.partner.values()):
        return  # dealt with at the earlier node of the pair, when both outputs are complete
    if len(node.input) != 2 or not _same_shapes(walk, node):
        raise VerificationError(f"{label(node)}: expected two inputs of the output's shape")
    weights = walk.take(node.output[0])
    if later is not None:
        weights = np.maximum(weights, walk.take(later.output[0]))
    for tensor in node.input:
        walk.add(tensor, weights)


def _same_shapes(walk: _Walk, node: onnx.NodeProto) -> bool:
    shape = walk.graph.shape(node.output[0])
    return all(walk.graph.shape(tensor) == shape for tensor in node.input)


def _split(walk: _Walk, node: onnx.NodeProto) -> None:
    _require_channel_axis(node)
    walk.add(node.input[0], np.concatenate([walk.take(part) for part in node.output]))


def _concat(walk: _Walk, node: onnx.NodeProto) -> None:
    _require_channel_axis(node)
    weights = walk.take(node.output[0])
    start = 0
    for part in node.input:
        stop = start + walk.graph.shape(part)[1]
        walk.add(part, weights[start:stop])
        start = stop


def _require_channel_axis(node: onnx.NodeProto) -> None:
    if attributes(node).get("axis", 0) != 1:
        raise VerificationError(f"{label(node)}: only axis 1 (channels) is known")


def _depth_to_space(walk: _Walk, node: onnx.NodeProto) -> None:
    found = attributes(node)
    cells = int(found["blocksize"]) ** 2
    weights = walk.take(node.output[0])
    by_class = found.get("mode", b"DCR") == b"CRD"
    walk.add(node.input[0], np.repeat(weights, cells) if by_class else np.tile(weights, cells))


def _shift(walk: _Walk, node: onnx.NodeProto) -> None:
    """Adding a constant moves nothing; the sum of two tensors is not needed by our networks."""
    moving = [name for name in node.input if name not in walk.graph.constants]
    if len(moving) != 1 or walk.graph.shape(moving[0]) != walk.graph.shape(node.output[0]):
        raise VerificationError(f"{label(node)}: only a constant added to one tensor is known")
    walk.add(moving[0], walk.take(node.output[0]))


RULES: dict[str, Callable[[_Walk, onnx.NodeProto], None]] = {
    "Abs": _pass_through,
    "Add": _shift,
    "Cast": _cast,
    "Concat": _concat,
    "Conv": _conv,
    "DepthToSpace": _depth_to_space,
    "Identity": _pass_through,
    "Max": _max_min,
    "Min": _max_min,
    "Neg": _pass_through,
    "Relu": _pass_through,
    "Split": _split,
    "Sub": _shift,
    "Transpose": _uniform,
}
