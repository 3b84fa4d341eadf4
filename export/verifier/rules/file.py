"""What all walks over one file share: constants, dominators, and bounds that were found already."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import onnx

from lipdeploy.export.verifier.constants import Constants, folded_constants
from lipdeploy.export.verifier.graph import Graph
from lipdeploy.export.verifier.quantizers import activation_quantizers

if TYPE_CHECKING:
    from lipdeploy.export.verifier.rules.walk import Rule


@dataclass
class File:
    """What all walks over one graph share.

    Attributes:
        units: tensors still in units of bytes.
        clips: nodes that are one half of a quantized activation, by id.
        parent: for each tensor that moves, the last tensor that it depends on through that alone.
        norms: bounds of linear operators, by node and by the form of their weights.
        shares: how each sum shares the squared distance out among its terms.
        joint: whether each sum is bounded as one map.
        maps: sums that are one linear map of the tensor that they depend on, else None.
    """

    graph: Graph
    image: str
    rules: Mapping[str, Rule]
    constants: Constants = field(init=False)
    units: set[str] = field(init=False)
    clips: set[int] = field(init=False)
    parent: dict[str, str] = field(init=False)
    norms: dict[tuple[int, bytes], float] = field(default_factory=dict)
    shares: dict[int, list[float]] = field(default_factory=dict)
    joint: dict[int, bool] = field(default_factory=dict)
    maps: dict[tuple[int, str], Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.constants = folded_constants(self.graph)
        self.units = byte_tensors(self.graph, self.image)
        found = activation_quantizers(self.graph, self.constants)
        self.clips = {id(node) for each in found for node in (each.node, *each.readers)}
        self.parent = self._parents()

    def moving(self, node: onnx.NodeProto) -> list[str]:
        """Inputs that are not constants of the file."""
        return [name for name in node.input if name and name not in self.constants]

    def is_constant(self, node: onnx.NodeProto) -> bool:
        """Whether all that a node computes follows from the stored constants alone."""
        return all(name in self.constants for name in node.output)

    def _parents(self) -> dict[str, str]:
        """Immediate dominators in the graph of tensors; "" above all graph inputs."""
        parent = {info.name: "" for info in self.graph.model.graph.input}
        for node in self.graph.nodes:
            names = [name for name in self.moving(node) if name in parent]
            if names and not self.is_constant(node):
                parent.update(dict.fromkeys(filter(None, node.output), common(parent, names)))
        return parent

    def between(self, anchor: str, tensor: str) -> list[onnx.NodeProto]:
        """Nodes on the way from one tensor to another that depends on it alone."""
        needed, found = [tensor], set()
        while needed:
            name = needed.pop()
            node = None if name == anchor else self.graph.producer.get(name)
            if node is not None and id(node) not in found:
                found.add(id(node))
                needed.extend(self.moving(node))
        return [node for node in self.graph.nodes if id(node) in found]


def common(parent: Mapping[str, str], names: Iterable[str]) -> str:
    """The last tensor that all of some tensors depend on through it alone, or "" if none."""
    chains = []
    for name in names:
        chain = [name]
        while chain[-1]:
            chain.append(parent.get(chain[-1], ""))
        chains.append(chain[::-1])
    found = ""
    for level in zip(*chains, strict=False):
        if len(set(level)) > 1:
            break
        found = level[0]
    return found


_KEEP_UNITS = frozenset(
    {"Cast", "Identity", "Transpose", "Sub", "Add", "Pad", "QuantizeLinear", "DequantizeLinear"}
)


def byte_tensors(graph: Graph, image: str) -> set[str]:
    """Tensors still in units of bytes: a uint8 image after casts, layout changes, shifts, clips."""
    found = {image} if graph.dtype(image) == onnx.TensorProto.UINT8 else set()
    for node in graph.nodes:
        if node.op_type in _KEEP_UNITS and found.intersection(node.input):
            found.update(node.output)
    return found
