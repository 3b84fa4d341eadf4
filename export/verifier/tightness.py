"""How tight the bounds of single layers are: estimates of the same norms from below, no proof."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from lipdeploy.core.operator_norm import convolution_norm_estimate
from lipdeploy.export.verifier.axes import positive
from lipdeploy.export.verifier.constants import folded_constants
from lipdeploy.export.verifier.graph import Graph, attributes
from lipdeploy.export.verifier.rules.file import byte_tensors
from lipdeploy.export.verifier.rules.linear import BYTES_PER_UNIT


def layer_estimates(graph: Graph, image: str = "image") -> dict[str, float]:
    """Estimated norm of every convolution and product, by the name that `GraphBound.layers` uses.

    A bound divided by its estimate is 1 at best and says how much the proof loses; the estimate is
    that of a large frame and never a certificate.

    Raises:
        ValueError: malformed attributes; `graph_bound` names their place.
    """
    constants, units = folded_constants(graph), byte_tensors(graph, image)
    found = {}
    for node in graph.nodes:
        name = next((n for n in node.input[:2] if n in constants), None)
        if node.op_type in ("Conv", "ConvTranspose", "Gemm", "MatMul") and name is not None:
            unit = BYTES_PER_UNIT if node.input[0] in units else 1.0
            found[name.removesuffix(".weight")] = unit * _estimate(node, constants[name])
    return found


def _estimate(node: onnx.NodeProto, weight: npt.NDArray[Any]) -> float:
    attrs = attributes(node)
    if node.op_type == "Gemm":
        return abs(float(attrs.get("alpha", 1.0))) * float(np.linalg.norm(weight, 2))
    if weight.ndim != 4:
        return float(np.linalg.norm(weight, 2))
    strides, dilations = positive(attrs, "strides", 2), positive(attrs, "dilations", 2)
    return convolution_norm_estimate(
        weight,
        (strides[0], strides[1]),
        (dilations[0], dilations[1]),
        int(attrs.get("group", 1)),
    )
