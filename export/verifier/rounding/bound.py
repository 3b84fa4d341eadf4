"""The bound on rounding for one frame, or for all of them: docs/rounding.md has the proof."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto

from lipdeploy.core.errors import VerificationError
from lipdeploy.export.verifier.constants import FLOATS
from lipdeploy.export.verifier.graph import Graph, label
from lipdeploy.export.verifier.replay import Replay
from lipdeploy.export.verifier.rounding.arithmetic import FLOAT32, Arithmetic
from lipdeploy.export.verifier.rounding.field_rules import receptive_fields
from lipdeploy.export.verifier.rounding.loss import Loss
from lipdeploy.export.verifier.rounding.losses import loss_of
from lipdeploy.export.verifier.rounding.receptive_field import Map
from lipdeploy.export.verifier.rounding.tails import Tails

# The bound itself is computed in float64 by sums of non-negative numbers, all of fewer than 2^22
# terms: what they lose is below this.
_UP = 1.0 + 2.0**-28


@dataclass(frozen=True)
class Part:
    """What one node contributes to the bound, at the pixel where it contributes most."""

    name: str
    op: str
    largest: float


@dataclass(frozen=True)
class RoundingBound:
    """How far the logits that execute are from real arithmetic.

    Attributes:
        logits: bound of the l2 norm, over the classes of a pixel, of the error. Shape: (H, W).
        parts: what each node contributes.
        field: height and width of the largest receptive field in the image; the whole image where
            some operator reads everywhere.
    """

    logits: Map
    parts: tuple[Part, ...]
    field: tuple[int, int]

    @property
    def differences(self) -> Map:
        """D of every pixel: of no two logits does the difference err by more. Shape: (H, W).

        |e_i - e_j| <= sqrt(2) ||e||_2.
        """
        return np.asarray(self.logits * (math.sqrt(2.0) * _UP))

    @property
    def slack(self) -> float:
        """D for all pixels."""
        return float(self.differences.max())


class Rounding:
    """The rounding of one graph in one arithmetic, prepared once for many frames.

    Raises:
        VerificationError: an operator whose rounding or Lipschitz constant is not known.
    """

    def __init__(
        self,
        graph: Graph,
        arithmetic: Arithmetic = FLOAT32,
        image: str = "image",
        logits: str = "logits",
    ) -> None:
        self.graph, self.image, self.target = graph, image, logits
        self.tails = Tails(graph, image)
        self.replay = Replay(graph, image, logits)
        self.largest = arithmetic.largest
        nodes = self.tails.nodes(logits)
        if arithmetic == FLOAT32:
            _require_float32(self.tails, nodes)
        self.losses = {id(node): loss_of(self.tails, node, arithmetic) for node in nodes}
        constants = self.tails.file.constants
        self.fields = receptive_fields(graph, constants, nodes, logits)

    def of_frame(self, image: npt.NDArray[Any], reach: float = 0.0) -> RoundingBound:
        """The bound for all images within `reach` (l2, images in [0, 1]) of one frame.

        Args:
            image: shape (H, W, 3), bytes or numbers in units of bytes.
            reach: radius of the ball.
        """
        return self._bound(image[None], np.full(self.shape, reach))

    def of_model(self) -> RoundingBound:
        """The bound for all images in [0, 1]: that of the grey one, with all that can differ.

        Only what lies in a pixel's receptive field can change its logits, and no value there is
        further than 1/2 from grey.
        """
        shape = self.graph.shape(self.image)
        middle = 0.5 if self.graph.dtype(self.image) in FLOATS else 127.5
        read = self.fields[self.image].norms(np.ones(shape))
        return self._bound(np.full(shape, middle), 0.5 * read * _UP)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the logits."""
        height, width = self.graph.shape(self.target)[2:]
        return height, width

    def _bound(self, image: npt.NDArray[Any], reach: Map) -> RoundingBound:
        run = _Run(self, reach)
        with np.errstate(all="ignore"):  # what is not finite is refused
            self.replay.run(image, run.see)
        total = np.asarray(run.total * _UP)
        if not np.isfinite(total).all():
            raise VerificationError("the bound on rounding is not a finite number")
        parts = sorted(run.parts, key=lambda part: -part.largest)
        return RoundingBound(total, tuple(parts), self._field_size())

    def _field_size(self) -> tuple[int, int]:
        found = self.fields[self.image]
        if found.axes is None:
            return self.shape
        return found.rows.longest, found.columns.longest


def _require_float32(tails: Tails, nodes: list[onnx.NodeProto]) -> None:
    """Everything is computed in float32; only bytes that move may come before.

    The integers of a quantized activation stand for floats and are bounded as such.
    """
    graph = tails.graph
    for node in nodes:
        kinds = {graph.dtype(name) for name in node.output if name}
        allowed = {TensorProto.FLOAT, TensorProto.UINT8}
        if id(node) in tails.clips:
            allowed.add(TensorProto.INT16)
        if kinds - allowed:
            names = sorted(TensorProto.DataType.Name(kind) for kind in kinds)
            raise VerificationError(
                f"{label(node)} computes in {', '.join(names)}; the bound on rounding is of FLOAT "
                "and of activations in INT16"
            )


@dataclass
class _Run:
    """One pass over the nodes in order, adding up what each contributes."""

    rounding: Rounding
    reach: Map
    total: Map = field(init=False)
    errors: dict[int, float] = field(default_factory=dict)  # by node, largest over the pixels
    before: list[onnx.NodeProto] = field(default_factory=list)  # nodes that lose something
    parts: list[Part] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.total = np.zeros(self.rounding.shape)

    def see(self, node: onnx.NodeProto, inputs: list[Any], outputs: list[Any]) -> None:
        """A node was computed in float64."""
        loss = self.rounding.losses[id(node)]
        if not loss.tiny and not loss.sum_factor:
            return
        weights = self.rounding.tails.tail(self.rounding.target).weights(node)
        plain = self._norm(node, loss, inputs, outputs[0], 1.0)
        heavy = float(weights.max())
        even = bool((weights == heavy).all())
        weighted = heavy * plain if even else self._norm(node, loss, inputs, outputs[0], weights)
        self.errors[id(node)] = float(plain.max())
        self.before.append(node)
        self.total += weighted
        if loss.sum_factor:
            self.parts.append(Part(self._title(node), node.op_type, float(weighted.max())))

    def _title(self, node: onnx.NodeProto) -> str:
        """The layer by its weights, a quantizer by its tensor."""
        tails = self.rounding.tails
        if id(node) in tails.clips:
            return str(node.input[0])
        name: str = next((n for n in node.input if n in tails.file.constants), "")
        return name.removesuffix(".weight") or node.output[0]

    def _norm(
        self, node: onnx.NodeProto, loss: Loss, inputs: list[Any], value: Any, weights: Any
    ) -> Map:
        """l2 norm of the weighted error on each pixel's receptive field in the node's output."""
        size = value.size
        heavy = float(np.max(weights))
        found = np.full(self.rounding.shape, heavy * loss.tiny * math.sqrt(size))
        if loss.absolute is None:
            return found
        absolute = loss.absolute(inputs)
        moved = sum((norm * self._off(name) for name, norm in loss.norms), np.zeros(1))
        if not absolute.max(initial=0.0) + moved.max() < self.rounding.largest:
            raise VerificationError(f"values at {node.output[0]!r} are beyond the format")
        error = loss.sum_factor * absolute + loss.value_factor * np.abs(value) + loss.step
        found += self.rounding.fields[node.output[0]].norms(error * weights)
        return found + heavy * (loss.sum_factor + loss.value_factor) * moved

    def _off(self, tensor: str) -> Map:
        """How far the executed tensor may be from the replayed one: other image, rounding."""
        tails = self.rounding.tails
        tail = tails.tail(tensor)
        rounded = sum(tail.gain(node) * self.errors[id(node)] for node in self.before)
        return np.asarray(tails.lipschitz(tensor) * self.reach + rounded * _UP)
