"""Max and Min of several tensors; of the same tensors together they are a sort."""

from __future__ import annotations

import numpy as np
import onnx

from lipdeploy.export.verifier.rules.walk import Rule, Walk
from lipdeploy.export.verifier.rules.weights import unbroadcast


def _max_min(walk: Walk, node: onnx.NodeProto) -> None:
    """Every input gets the larger of the weights of Max and Min.

    Sorting does not increase the distance of two vectors, and the largest and smallest element are
    two of the sorted ones: (max - max')^2 + (min - min')^2 <= sum of the inputs' squared distances.
    An input that is given twice is counted twice, which is also right.
    """
    if id(node) in walk.deferred:
        return  # dealt with at the earlier node of the pair, when both outputs are complete
    weights = walk.take(node.output[0])
    later = walk.later.get(id(node))
    if later is not None:
        weights = np.maximum(weights, walk.take(later.output[0]))
    shape = walk.shape(node.output[0])
    for tensor in node.input:
        if tensor not in walk.file.constants:
            walk.add(tensor, unbroadcast(weights, shape, walk.shape(tensor)))


RULES: dict[str, Rule] = {"Max": Rule(_max_min), "Min": Rule(_max_min)}
