"""Sums and differences of tensors: as one linear map where they are, otherwise shared optimally.

For numbers s_i > 0 with sum of 1 / s_i = 1, ||sum of a_i||^2 <= sum of s_i ||a_i||^2 (Cauchy). If
all terms depend on the input through one tensor x alone and term i is L_i-Lipschitz in x, then
s_i = (sum of L) / L_i makes this (sum of L)^2 ||x||^2: x + g(x) costs exactly 1 + L(g). Any other
s_i would also be sound, so that they may be found once, for the weights that are met first.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import onnx

from lipdeploy.export.verifier.rules.file import common
from lipdeploy.export.verifier.rules.linear import cached, normalised
from lipdeploy.export.verifier.rules.linear_map import linear_map
from lipdeploy.export.verifier.rules.walk import Rule, Walk
from lipdeploy.export.verifier.rules.weights import Weights, per_index, unbroadcast


def _sum(walk: Walk, node: onnx.NodeProto) -> None:
    weights, shape = walk.take(node.output[0]), walk.shape(node.output[0])
    terms = walk.file.moving(node)
    for index, name in enumerate(node.input):
        if name in walk.file.constants:
            walk.constant(node, index)  # an infinite shift would leave nothing of the function
    if not weights.any():
        return
    if len(terms) < 2:
        for term in terms:
            walk.add(term, unbroadcast(weights, shape, walk.shape(term)))
        return
    asked = [unbroadcast(weights, shape, walk.shape(term)) for term in terms]
    anchor = common(walk.file.parent, terms)
    shares = _shares(walk, node, anchor, list(zip(terms, asked, strict=True)))
    joint = _joint(walk, node, anchor, weights)
    spread = [w * s for w, s in zip(asked, shares, strict=True)]
    if _is_joint(walk, node, joint, lambda: _apart(walk, anchor, terms, spread)):
        walk.add(anchor, np.full((1, 1, 1, 1), joint))
        return
    for term, own, share in zip(terms, asked, shares, strict=True):
        walk.add(term, own * share)


def _shares(
    walk: Walk, node: onnx.NodeProto, anchor: str, terms: list[tuple[str, Weights]]
) -> list[float]:
    """Roots of the s_i, never 0: they are kept for other weights, for which a term may matter."""
    found = walk.file.shares.get(id(node))
    if found is None:
        if anchor:
            bounds = [float(walk.below(anchor, term, own).max()) for term, own in terms]
        else:
            bounds = [1.0 for _ in terms]
        least = (max(bounds) or 1.0) * _LEAST_SHARE
        bounds = [max(bound, least) for bound in bounds]
        found = [math.sqrt(sum(bounds) / bound) for bound in bounds]
        walk.file.shares[id(node)] = found
    return found


def _joint(walk: Walk, node: onnx.NodeProto, anchor: str, weights: Weights) -> float:
    """Bound of the sum as one linear map of the anchor; infinite if it is not one."""
    if not anchor or weights.ndim != 4:
        return math.inf
    key = (id(node), anchor)
    if key not in walk.file.maps:
        walk.file.maps[key] = linear_map(walk, anchor, node.output[0])
    found = walk.file.maps[key]
    if found is None:
        return math.inf
    scale, shape = normalised(
        per_index(weights, 1, len(found.kernel)), np.full(len(found.kernel), True)
    )
    relative = shape if shape.size else np.ones(len(found.kernel))
    return scale * cached(walk, node, shape, lambda _: found.weighted_norm(relative))


def _is_joint(walk: Walk, node: onnx.NodeProto, joint: float, apart: Callable[[], float]) -> bool:
    """Whether one map is the better bound: decided once for each sum, for the first weights met.

    Either is sound for all weights. Deciding anew would walk nested sums exponentially often.
    """
    found = walk.file.joint.get(id(node))
    if found is None:
        found = walk.file.joint[id(node)] = math.isfinite(joint) and joint < apart()
    return found and math.isfinite(joint)


def _apart(walk: Walk, anchor: str, terms: list[str], asked: list[Weights]) -> float:
    """What the terms ask of the anchor one by one; infinite without an anchor."""
    if not anchor:
        return math.inf
    squares = [walk.below(anchor, t, w) ** 2 for t, w in zip(terms, asked, strict=True)]
    return math.sqrt(float(np.max(sum(squares[1:], squares[0]))))


_LEAST_SHARE = 1e-12

RULES: dict[str, Rule] = {"Add": Rule(_sum), "Sub": Rule(_sum), "Sum": Rule(_sum)}
