"""Operators that move, copy or drop elements: all of them equalities."""

from __future__ import annotations

import numpy as np
import onnx

from lipdeploy.core.errors import VerificationError
from lipdeploy.export.verifier.axes import pad_index, text
from lipdeploy.export.verifier.graph import attributes, label
from lipdeploy.export.verifier.operators.layout import (
    depth_to_space,
    pads_per_axis,
    slices,
    space_to_depth,
    split_sizes,
)
from lipdeploy.export.verifier.rules.walk import Rule, Walk
from lipdeploy.export.verifier.rules.weights import (
    Weights,
    compressed,
    gathered_back,
    reshaped,
    unbroadcast,
)


def _concat(walk: Walk, node: onnx.NodeProto) -> None:
    """Parts are cut out of the weights; a tensor that is joined twice gets both."""
    weights, shape = walk.take(node.output[0]), walk.shape(node.output[0])
    axis = int(attributes(node)["axis"]) % len(shape)
    start = 0
    for part in node.input:
        stop = start + walk.shape(part)[axis]
        walk.add(part, compressed(_between(weights, axis, start, stop)))
        start = stop


def _between(weights: Weights, axis: int, start: int, stop: int) -> Weights:
    if weights.shape[axis] == 1:
        return weights
    return weights.take(np.arange(start, stop), axis)


def _split(walk: Walk, node: onnx.NodeProto) -> None:
    """Weights of the parts are joined, 0 for a part that nothing uses."""
    shape = walk.shape(node.input[0])
    axis = int(attributes(node).get("axis", 0)) % len(shape)
    sizes = walk.optional(node, 1)
    lengths = split_sizes(attributes(node), shape[axis], len(node.output), sizes)
    parts = [walk.take(name) if name else np.zeros((1,) * len(shape)) for name in node.output]
    rest = np.broadcast_shapes(*(_without(part.shape, axis) for part in parts))
    joined = [
        np.broadcast_to(part, (*rest[:axis], length, *rest[axis + 1 :]))
        for part, length in zip(parts, lengths, strict=True)
    ]
    walk.add(node.input[0], compressed(np.concatenate(joined, axis)))


def _without(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    return (*shape[:axis], 1, *shape[axis + 1 :])


def _slice(walk: Walk, node: onnx.NodeProto) -> None:
    shape, weights = walk.shape(node.input[0]), walk.take(node.output[0])
    starts, ends = walk.constant(node, 1), walk.constant(node, 2)
    found = slices(shape, starts, ends, walk.optional(node, 3), walk.optional(node, 4))
    for axis, places in found.items():
        weights = gathered_back(weights, axis, places, shape[axis])
    walk.add(node.input[0], weights)


def _pad(walk: Walk, node: onnx.NodeProto) -> None:
    """Constants do not move; edges, reflections and wrapped elements are copies."""
    shape, weights = walk.shape(node.input[0]), walk.take(node.output[0])
    mode = text(attributes(node), "mode", "constant")
    walk.optional(node, 2)
    pads = pads_per_axis(len(shape), walk.constant(node, 1), walk.optional(node, 3))
    for axis, (begin, end) in pads.items():
        places = pad_index(mode, shape[axis], begin, end)
        weights = gathered_back(weights, axis, places, shape[axis])
    walk.add(node.input[0], weights)


def _transpose(walk: Walk, node: onnx.NodeProto) -> None:
    weights = walk.take(node.output[0])
    perm = attributes(node).get("perm") or range(weights.ndim)[::-1]
    if sorted(perm) != list(range(weights.ndim)):
        raise VerificationError(f"{label(node)}: perm {list(perm)} is not a permutation")
    walk.add(node.input[0], weights.transpose(np.argsort(perm)))


def _reshape(walk: Walk, node: onnx.NodeProto) -> None:
    """Flatten, Squeeze and Unsqueeze too: the elements keep their order."""
    for index in range(1, len(node.input)):
        walk.optional(node, index)
    before, shape = walk.shape(node.input[0]), walk.shape(node.output[0])
    walk.add(node.input[0], reshaped(walk.take(node.output[0]), shape, before))


def _expand(walk: Walk, node: onnx.NodeProto) -> None:
    walk.constant(node, 1)
    before, shape = walk.shape(node.input[0]), walk.shape(node.output[0])
    walk.add(node.input[0], unbroadcast(walk.take(node.output[0]), shape, before))


def _depth_to_space(walk: Walk, node: onnx.NodeProto) -> None:
    weights, found = walk.take(node.output[0]), attributes(node)
    before, shape = walk.shape(node.input[0]), walk.shape(node.output[0])
    b, mode = int(found["blocksize"]), text(found, "mode", "DCR")
    if b < 1 or mode not in ("DCR", "CRD"):
        raise VerificationError(f"{label(node)}: block {b} in mode {mode}")
    if weights[0, 0].size > 1:
        places = np.arange(np.prod(before)).reshape(before)
        places = depth_to_space(found, places)[0]
        back = np.empty(places.size)
        back[places.ravel()] = np.broadcast_to(weights, shape).ravel()
        weights = back.reshape(before)
    elif weights.shape[1] > 1:
        cells = b * b
        weights = (
            np.repeat(weights, cells, 1) if mode == "CRD" else np.tile(weights, (1, cells, 1, 1))
        )
    walk.add(node.input[0], compressed(weights))


def _space_to_depth(walk: Walk, node: onnx.NodeProto) -> None:
    weights, found = walk.take(node.output[0]), attributes(node)
    if weights.size > 1:
        before = walk.shape(node.input[0])
        places = space_to_depth(found, np.arange(np.prod(before)).reshape(before))[0]
        back = np.empty(places.size)
        back[places.ravel()] = np.broadcast_to(weights, places.shape).ravel()
        weights = back.reshape(before)
    walk.add(node.input[0], compressed(weights))


RULES: dict[str, Rule] = {
    "Concat": Rule(_concat, frozenset({"axis"}), bytes=True),
    "DepthToSpace": Rule(_depth_to_space, frozenset({"blocksize", "mode"})),
    "Expand": Rule(_expand, bytes=True),
    "Flatten": Rule(_reshape, frozenset({"axis"}), bytes=True),
    "Pad": Rule(_pad, frozenset({"mode"})),
    "Reshape": Rule(_reshape, frozenset({"allowzero"}), bytes=True),
    "Slice": Rule(_slice, bytes=True),
    "SpaceToDepth": Rule(_space_to_depth, frozenset({"blocksize"})),
    "Split": Rule(_split, frozenset({"axis", "num_outputs"}), bytes=True),
    "Squeeze": Rule(_reshape, bytes=True),
    "Transpose": Rule(_transpose, frozenset({"perm"}), bytes=True),
    "Unsqueeze": Rule(_reshape, bytes=True),
}
