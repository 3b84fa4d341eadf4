"""The network of a file without its certification head: what the head costs is the difference."""

from __future__ import annotations

import onnx

from lipdeploy.core.errors import VerificationError
from lipdeploy.export.verifier.graph import Graph, model_from_bytes

PREFIX = "head/"  # of every node and constant of the head


def bare_graph(data: bytes, name: str) -> bytes:
    """The same weights and operators from `image` to `logits`, for measuring alone.

    Args:
        data: a lipdeploy model.
        name: of the file, for messages.

    Raises:
        VerificationError: the file has no head that could be taken off.
    """
    graph = Graph(model_from_bytes(data, name))
    model = onnx.ModelProto()
    model.CopyFrom(graph.model)
    kept = [node for node in model.graph.node if not node.name.startswith(PREFIX)]
    if len(kept) == len(model.graph.node) or not any("logits" in node.output for node in kept):
        raise VerificationError(f"model {name} has no certification head; export it again")
    constants = [c for c in model.graph.initializer if not c.name.startswith(PREFIX)]
    images = [port for port in model.graph.input if port.name == "image"]
    _replace(model.graph.node, kept)
    _replace(model.graph.initializer, constants)
    _replace(model.graph.input, images)
    shape = graph.shape("logits")
    logits = onnx.helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, shape)
    _replace(model.graph.output, [logits])
    del model.metadata_props[:]
    return bytes(model.SerializeToString())


def _replace(field: object, items: list[object]) -> None:
    """Fill a repeated field anew."""
    del field[:]  # type: ignore[attr-defined]
    field.extend(items)  # type: ignore[attr-defined]
