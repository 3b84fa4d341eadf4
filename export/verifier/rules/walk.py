"""One backward walk: the weights of the current cut, and the form of a rule."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import onnx

from lipdeploy.core.errors import VerificationError
from lipdeploy.core.manifest import LayerBound
from lipdeploy.export.verifier.constants import FLOATS
from lipdeploy.export.verifier.graph import attributes, label
from lipdeploy.export.verifier.rules.file import File
from lipdeploy.export.verifier.rules.weights import Weights

# Within these, products of weights and factors neither vanish nor overflow; beyond, a bound that
# silently became 0 would be a false certificate.
_WEIGHTS = (1e-150, 1e150)
_FACTORS = (1e-100, 1e100)


class Rule(NamedTuple):
    """How one operator pulls weights back, and the attributes that its proof covers."""

    pull_back: Callable[[Walk, onnx.NodeProto], None]
    attributes: frozenset[str] = frozenset()
    bytes: bool = False  # whether it may act on integers: it moves values and computes nothing


class Walk:
    """Weights of one cut, from some output down to a tensor that everything depends on."""

    def __init__(self, file: File, nodes: Sequence[onnx.NodeProto], *, records: bool) -> None:
        self.file, self.nodes, self.records = file, nodes, records
        self.weights: dict[str, Weights] = {}
        self.layers: list[LayerBound] = []
        self.later, self.deferred = _max_min_pairs(nodes)
        self._covered = {id(node) for node in nodes}

    def run(self) -> dict[str, Weights]:
        """Pull the weights back through all nodes; returns what is left."""
        for node in reversed(self.nodes):
            self._pull_back(node)
        return self.weights

    def below(self, anchor: str, tensor: str, weights: Weights) -> Weights:
        """Weights that one tensor with some weights asks of a tensor that it depends on alone."""
        walk = Walk(self.file, self.file.between(anchor, tensor), records=False)
        walk.add(tensor, weights)
        left = walk.run()
        if left.keys() - {anchor}:
            raise VerificationError(
                f"{tensor!r} depends on {sorted(left)}, not on {anchor!r} alone"
            )
        return left.get(anchor, np.zeros((1,) * len(self.shape(anchor))))

    def covers(self, node: onnx.NodeProto) -> bool:
        """Whether a node lies between this walk's output and its end."""
        return id(node) in self._covered

    def shape(self, tensor: str) -> tuple[int, ...]:
        """Static shape of a tensor."""
        constant = self.file.constants.get(tensor)
        return self.file.graph.shape(tensor) if constant is None else constant.shape

    def add(self, tensor: str, weights: Weights) -> None:
        """Join weights to a tensor of the cut; constants do not move and are dropped.

        Raises:
            VerificationError: weights so small or large that they could not be followed further.
        """
        if tensor in self.file.constants or not tensor:
            return
        before = self.weights.get(tensor)
        joined = weights if before is None else np.hypot(before, weights)
        if not ((joined == 0) | ((joined >= _WEIGHTS[0]) & (joined <= _WEIGHTS[1]))).all():
            raise VerificationError(f"the scales around tensor {tensor!r} are beyond float64")
        self.weights[tensor] = joined

    def take(self, tensor: str) -> Weights:
        """Remove a tensor from the cut and return its weights, 0 if it does not matter."""
        found = self.weights.pop(tensor, None)
        return np.zeros((1,) * len(self.shape(tensor))) if found is None else found

    def constant(self, node: onnx.NodeProto, index: int) -> npt.NDArray[Any]:
        """Input `index` of a node, which must be a constant.

        Raises:
            VerificationError: it is computed, missing, or holds values that are not finite.
        """
        name = node.input[index] if index < len(node.input) else ""
        found = self.file.constants.get(name)
        if found is None:
            raise VerificationError(f"{label(node)}: input {index} must be a constant of the file")
        if found.dtype.kind == "f" and not np.isfinite(found).all():
            raise VerificationError(f"{label(node)}: {name!r} holds values that are not finite")
        return found

    def optional(self, node: onnx.NodeProto, index: int) -> npt.NDArray[Any] | None:
        """Input `index`, which must be a constant where it is given."""
        given = index < len(node.input) and node.input[index]
        return self.constant(node, index) if given else None

    def _pull_back(self, node: onnx.NodeProto) -> None:
        rule = self.file.rules.get(node.op_type)
        if rule is None or node.domain not in ("", "ai.onnx"):
            known = ", ".join(sorted(self.file.rules))
            raise VerificationError(
                f"{label(node)} has no Lipschitz rule; known operators: {known}"
            )
        if not self.records and id(node) not in self.later and not self._reaches(node):
            return
        self._check(node, rule)
        try:
            rule.pull_back(self, node)
        except (ValueError, KeyError, IndexError, TypeError, OverflowError, ZeroDivisionError) as e:
            raise VerificationError(f"{label(node)} is malformed: {e}") from e

    def _reaches(self, node: onnx.NodeProto) -> bool:
        return any(name in self.weights for name in node.output)

    def _check(self, node: onnx.NodeProto, rule: Rule) -> None:
        unknown = attributes(node).keys() - rule.attributes
        if unknown:
            raise VerificationError(f"{label(node)}: attribute {min(unknown)} is not known")
        for name in () if rule.bytes else (*self.file.moving(node), node.output[0]):
            if self.file.graph.dtype(name) not in FLOATS:
                raise VerificationError(
                    f"{label(node)}: {name!r} is not a float tensor; integer arithmetic wraps"
                )


def _max_min_pairs(
    nodes: Sequence[onnx.NodeProto],
) -> tuple[dict[int, onnx.NodeProto], set[int]]:
    """For the earlier of a Max and a Min of the same inputs the later one; and all later ones.

    Only nodes of this walk count: a dead partner would take the live one's place.
    """
    seen: dict[tuple[str, ...], onnx.NodeProto] = {}
    later: dict[int, onnx.NodeProto] = {}
    for node in nodes:
        if node.op_type in ("Max", "Min") and len(node.input) >= 2:
            first = seen.setdefault(tuple(sorted(node.input)), node)
            if first.op_type != node.op_type:
                later.setdefault(id(first), node)
    return later, {id(node) for node in later.values()}


def factors(node: onnx.NodeProto, values: Any) -> npt.NDArray[np.float64]:
    """Absolute factors that multiply weights.

    Raises:
        VerificationError: one that is not finite, or beyond what can be followed in float64.
    """
    found = np.abs(np.asarray(values, np.float64))
    if not ((found == 0) | ((found >= _FACTORS[0]) & (found <= _FACTORS[1]))).all():
        raise VerificationError(f"{label(node)}: a scale is not finite or beyond float64")
    return found
