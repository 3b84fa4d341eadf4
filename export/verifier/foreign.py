"""The Lipschitz bound of a graph without a lipdeploy head: information, never a certificate."""

from __future__ import annotations

import onnx

from lipdeploy.core.errors import VerificationError
from lipdeploy.export.verifier.graph import Graph
from lipdeploy.export.verifier.lipschitz import BYTES_PER_UNIT, graph_bound


def foreign_bound(model: onnx.ModelProto) -> float | None:
    """Bound from the one input to the first output, None where no rule leads there.

    Per unit of the input, or of image / 255 where the input is bytes.
    """
    try:
        graph = Graph(model)
        inputs = [i for i in model.graph.input if i.name not in graph.constants]
        if len(inputs) != 1 or not model.graph.output:
            return None
        bound = graph_bound(graph, inputs[0].name, model.graph.output[0].name).lipschitz
    except (VerificationError, IndexError, KeyError, TypeError, ValueError):
        return None
    in_bytes = inputs[0].type.tensor_type.elem_type == onnx.TensorProto.UINT8
    return bound if in_bytes else bound / BYTES_PER_UNIT
