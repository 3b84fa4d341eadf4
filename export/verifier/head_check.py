"""The certification head must be, node by node, the one that the metadata calls for."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import numpy_helper

from lipdeploy.core.errors import VerificationError
from lipdeploy.core.manifest import Manifest
from lipdeploy.export.head import HeadSpec, head_nodes
from lipdeploy.export.verifier.graph import Graph, label


def head_spec(manifest: Manifest) -> HeadSpec:
    """What the metadata says about the head."""
    return HeadSpec(
        manifest.head,
        len(manifest.class_names),
        manifest.height,
        manifest.width,
        manifest.budgets,
        manifest.lipschitz,
        manifest.numerics.slack,
    )


def check_head(graph: Graph, manifest: Manifest) -> None:
    """Compare the head of the file with the one built from its metadata.

    Raises:
        VerificationError: the first node or constant that differs.
    """
    nodes, constants = head_nodes(head_spec(manifest))
    trunk = {id(node) for node in graph.ancestors("logits")}
    found = [node for node in graph.nodes if id(node) not in trunk]
    for expected, actual in zip(nodes, found, strict=False):
        if _content(expected) != _content(actual):
            raise VerificationError(f"{label(actual)} of the head differs from {label(expected)}")
    if len(nodes) != len(found):
        raise VerificationError(f"the head has {len(found)} nodes, expected {len(nodes)}")
    for tensor in constants:
        _check_constant(graph, tensor)


def _check_constant(graph: Graph, tensor: onnx.TensorProto) -> None:
    expected, actual = numpy_helper.to_array(tensor), graph.constants.get(tensor.name)
    same = (
        actual is not None
        and actual.dtype == expected.dtype
        and np.array_equal(actual, expected)
        and actual.shape == expected.shape
    )
    if not same:
        raise VerificationError(
            f"constant {tensor.name} of the head is {actual}, expected {expected} "
            "for the Lipschitz constant and slack of the metadata"
        )


def _content(node: onnx.NodeProto) -> tuple[object, ...]:
    """All that a node computes: operator, wiring and attributes; its name is decoration."""
    found = sorted(a.SerializeToString(deterministic=True) for a in node.attribute)
    return node.domain, node.op_type, tuple(node.input), tuple(node.output), tuple(found)
