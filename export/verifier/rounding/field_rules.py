"""Receptive fields of every tensor of a graph, pulled back from the logits node by node.

An operator without a rule here makes the field the whole tensor, which is always right.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx

from lipdeploy.export.verifier.axes import pad_index, pool_windows, text, transposed_pads, windows
from lipdeploy.export.verifier.constants import Constants
from lipdeploy.export.verifier.graph import Graph, attributes
from lipdeploy.export.verifier.operators.layout import pads_per_axis, slices
from lipdeploy.export.verifier.rounding.receptive_field import Field, Index, Span

Reads = tuple[
    Index, Index
]  # first and last index that each output index reads; empty: last < first


def receptive_fields(
    graph: Graph, constants: Constants, nodes: Sequence[onnx.NodeProto], logits: str
) -> dict[str, Field]:
    """The field of every tensor that `logits` (1, K, H, W) depends on, by name."""
    height, width = graph.shape(logits)[2:]
    own = [Span(np.arange(size), np.arange(size)) for size in (height, width)]
    found = {logits: Field((2, 3), own[0], own[1])}
    for node in reversed(nodes):
        outputs = [found[name] for name in node.output if name in found]
        if not outputs:
            continue
        field = outputs[0]
        for other in outputs[1:]:
            field = field.joined(other)
        before = _before(graph, constants, node, field)
        for name in node.input:
            if name and name not in constants:
                found[name] = found[name].joined(before[name]) if name in found else before[name]
    return found


def _before(
    graph: Graph, constants: Constants, node: onnx.NodeProto, field: Field
) -> dict[str, Field]:
    """The field in each input that moves."""
    moving = [name for name in node.input if name and name not in constants]
    whole = Field(None, field.rows, field.columns)
    rule = _RULES.get(node.op_type)
    if rule is None or field.axes is None:
        return dict.fromkeys(moving, whole)
    ranks = {len(graph.shape(name)) for name in moving}
    if ranks != {len(graph.shape(node.output[0]))}:
        return dict.fromkeys(moving, whole)
    return {name: rule(graph, constants, node, name, field) or whole for name in moving}


Rule = Callable[[Graph, Constants, onnx.NodeProto, str, Field], "Field | None"]


def _same(
    graph: Graph, _: Constants, node: onnx.NodeProto, name: str, field: Field
) -> Field | None:
    """Element by element; a tensor that is broadcast is read everywhere."""
    return field if graph.shape(name) == graph.shape(node.output[0]) else None


def _along_others(
    graph: Graph, _: Constants, node: onnx.NodeProto, name: str, field: Field
) -> Field | None:
    """Split and Concat along an axis that is not of the picture."""
    axis = int(attributes(node).get("axis", 0)) % len(graph.shape(name))
    return None if axis in (field.axes or ()) else field


def _transpose(
    graph: Graph, _: Constants, node: onnx.NodeProto, name: str, field: Field
) -> Field | None:
    assert field.axes is not None
    perm = list(attributes(node).get("perm") or range(len(graph.shape(name)))[::-1])
    return Field((perm[field.axes[0]], perm[field.axes[1]]), field.rows, field.columns)


def _reading(reads: Callable[[Graph, Constants, onnx.NodeProto, str], list[Reads]]) -> Rule:
    """A rule for operators on N x C x H x W that read along rows and columns separately."""

    def rule(
        graph: Graph, constants: Constants, node: onnx.NodeProto, name: str, field: Field
    ) -> Field | None:
        if field.axes != (2, 3) or len(graph.shape(name)) != 4:
            return None
        rows, columns = reads(graph, constants, node, name)
        return Field((2, 3), field.rows.through(*rows), field.columns.through(*columns))

    return rule


def _windowed(graph: Graph, _: Constants, node: onnx.NodeProto, name: str) -> list[Reads]:
    sizes, found = graph.shape(name)[2:], attributes(node)
    pooled = node.op_type.endswith("Pool")
    axes = pool_windows(found, sizes) if pooled else windows(found, sizes, _taps(graph, node))
    return [_hull(axis.taps()) for axis in axes]


def _transposed(graph: Graph, _: Constants, node: onnx.NodeProto, name: str) -> list[Reads]:
    kernel, sizes = _taps(graph, node), graph.shape(name)[2:]
    reads = []
    found = transposed_pads(attributes(node), sizes, kernel)
    for (stride, dilation, begin, end, full), size, taps in zip(found, sizes, kernel, strict=True):
        places = np.arange(begin, full - end)[:, None] - np.arange(taps) * dilation
        origin = places // stride
        met = (places % stride == 0) & (origin >= 0) & (origin < size)
        reads.append(_hull(np.where(met, origin, -1)))
    return reads


def _blocks(graph: Graph, _: Constants, node: onnx.NodeProto, name: str) -> list[Reads]:
    block = int(attributes(node)["blocksize"])
    made = [np.arange(size) for size in graph.shape(node.output[0])[2:]]
    if node.op_type == "DepthToSpace":
        return [(i // block, i // block) for i in made]
    return [(i * block, i * block + block - 1) for i in made]


def _sliced(graph: Graph, constants: Constants, node: onnx.NodeProto, name: str) -> list[Reads]:
    given: list[Any] = [constants[n] if n else None for n in node.input[1:]]
    given += [None] * (4 - len(given))
    found = slices(graph.shape(name), given[0], given[1], given[2], given[3])
    return [_copied(found.get(a, np.arange(graph.shape(name)[a]))) for a in (2, 3)]


def _padded(graph: Graph, constants: Constants, node: onnx.NodeProto, name: str) -> list[Reads]:
    shape, mode = graph.shape(name), text(attributes(node), "mode", "constant")
    axes = constants[node.input[3]] if len(node.input) > 3 and node.input[3] else None
    pads = pads_per_axis(len(shape), constants[node.input[1]], axes)
    return [_copied(pad_index(mode, shape[a], *pads.get(a, (0, 0)))) for a in (2, 3)]


def _taps(graph: Graph, node: onnx.NodeProto) -> tuple[int, ...]:
    return graph.shape(node.input[1])[2:]


def _hull(places: Index) -> Reads:
    """First and last of each row of places, -1 meaning none. Shape: (outputs, taps)."""
    last = places.max(1, initial=-1)
    beyond = np.iinfo(np.int64).max
    first = np.where(places >= 0, places, beyond).min(1, initial=beyond)
    return np.where(last >= 0, first, 0), last


def _copied(places: Index) -> Reads:
    return np.maximum(places, 0), np.asarray(places)


_ELEMENTWISE = [
    "Abs",
    "Add",
    "Cast",
    "Clip",
    "Div",
    "Dropout",
    "Identity",
    "Max",
    "Min",
    "Mul",
    "Neg",
    "Relu",
    "Sub",
    "Sum",
    "QuantizeLinear",
    "DequantizeLinear",
]

_RULES: dict[str, Rule] = {
    **dict.fromkeys(_ELEMENTWISE, _same),
    "AveragePool": _reading(_windowed),
    "Concat": _along_others,
    "Conv": _reading(_windowed),
    "ConvTranspose": _reading(_transposed),
    "DepthToSpace": _reading(_blocks),
    "MaxPool": _reading(_windowed),
    "Pad": _reading(_padded),
    "Slice": _reading(_sliced),
    "SpaceToDepth": _reading(_blocks),
    "Split": _along_others,
    "Transpose": _transpose,
}
