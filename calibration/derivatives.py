"""Gradients of the logits in NumPy: each operator's derivative, applied backwards.

For attacks on a file where torch is not installed. Every rule is the adjoint of the operator's
linearisation; of the operators that only move elements it is found by moving their numbers.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from lipdeploy.core.errors import InputError
from lipdeploy.export.verifier.axes import transposed_pads, windows
from lipdeploy.export.verifier.constants import folded_constants
from lipdeploy.export.verifier.graph import Graph, attributes, label
from lipdeploy.export.verifier.operators import OPERATORS, layout

Array = npt.NDArray[np.float64]
Found = dict[str, Any]
Adjoint = Callable[[Found, list[Any], list[Array], list[Array]], list[Array | None]]
"""Attributes, inputs, outputs and their gradients, to the gradients of the inputs."""


class ReversePass:
    """Logits of an image and the gradient of a scalar of them.

    Raises:
        InputError: an operator whose derivative is not known.
    """

    def __init__(self, graph: Graph) -> None:
        self.constants = folded_constants(graph)
        nodes = graph.ancestors("logits")
        self.nodes = [n for n in nodes if not all(o in self.constants for o in n.output)]
        for node in self.nodes:
            if node.op_type not in ADJOINTS:
                raise InputError(
                    f"{label(node)} has no derivative here, so no frame can be attacked; "
                    f"known operators: {', '.join(sorted(ADJOINTS))}"
                )

    def forward(self, image: Array) -> dict[str, Array]:
        """Every tensor, for an image of bytes as real numbers, shape (1, H, W, 3)."""
        values: dict[str, Array] = {"image": image}
        for node in self.nodes:
            outputs = OPERATORS[node.op_type](attributes(node), *self._inputs(node, values))
            values.update(zip(node.output, outputs, strict=False))
        return values

    def gradient(self, values: dict[str, Array], of_logits: Array) -> Array:
        """The gradient of the image from that of the logits, shape (1, H, W, 3)."""
        gradients = {"logits": of_logits}
        for node in reversed(self.nodes):
            outputs = [values[name] for name in node.output]
            given = [
                gradients.pop(name) if name in gradients else np.zeros_like(value)
                for name, value in zip(node.output, outputs, strict=True)
            ]
            rule = ADJOINTS[node.op_type]
            found = rule(attributes(node), self._inputs(node, values), outputs, given)
            for name, gradient in zip(node.input, found, strict=False):
                if gradient is not None and name not in self.constants:
                    gradients[name] = gradients[name] + gradient if name in gradients else gradient
        return gradients.get("image", np.zeros_like(values["image"]))

    def _inputs(self, node: onnx.NodeProto, values: dict[str, Array]) -> list[Any]:
        return [values.get(n, self.constants.get(n)) if n else None for n in node.input]


def _conv(found: Found, inputs: list[Any], _: list[Array], given: list[Array]) -> list[Any]:
    x, kernel, (gradient,) = inputs[0], inputs[1], given
    axes = windows(found, x.shape[2:], kernel.shape[2:])
    groups = int(found.get("group", 1))
    padded = np.zeros((*x.shape[:2], *(a.size + a.begin + a.end for a in axes)))
    parts = list(zip(np.split(gradient, groups, 1), np.split(kernel, groups), strict=True))
    for tap in itertools.product(*map(range, kernel.shape[2:])):
        places = tuple(
            slice(t * a.dilation, t * a.dilation + (a.count - 1) * a.stride + 1, a.stride)
            for t, a in zip(tap, axes, strict=True)
        )
        sums = [_mixed(k[:, :, tap[0], tap[1]], part) for part, k in parts]
        padded[(slice(None), slice(None), *places)] += np.concatenate(sums, 1)
    kept = tuple(slice(a.begin, a.begin + a.size) for a in axes)
    return [padded[(slice(None), slice(None), *kept)]]


def _conv_transpose(
    found: Found, inputs: list[Any], _: list[Array], given: list[Array]
) -> list[Any]:
    x, kernel, (gradient,) = inputs[0], inputs[1], given
    groups = int(found.get("group", 1))
    axes = transposed_pads(found, x.shape[2:], kernel.shape[2:])
    full = np.zeros((*gradient.shape[:2], *(a[4] for a in axes)))
    kept = tuple(slice(begin, size - end) for _, _, begin, end, size in axes)
    full[(slice(None), slice(None), *kept)] = gradient
    total = np.zeros(x.shape)
    kernels = np.split(kernel, groups)
    for tap in itertools.product(*map(range, kernel.shape[2:])):
        places = tuple(
            slice(t * dilation, t * dilation + (size - 1) * stride + 1, stride)
            for t, size, (stride, dilation, *_) in zip(tap, x.shape[2:], axes, strict=True)
        )
        parts = np.split(full[(slice(None), slice(None), *places)], groups, 1)
        sums = [
            _mixed(k[:, :, tap[0], tap[1]].T, part) for part, k in zip(parts, kernels, strict=True)
        ]
        total += np.concatenate(sums, 1)
    return [total]


def _mixed(matrix: Array, planes: Array) -> Array:
    """Channels of (N, O, H, W) through a matrix (O, I): (N, I, H, W)."""
    return np.moveaxis(np.tensordot(matrix, planes, axes=(0, 1)), 1, 0)


def _moving(op: str) -> Adjoint:
    def adjoint(
        found: Found, inputs: list[Any], _: list[Array], given: list[Array]
    ) -> list[Array | None]:
        x, *rest = inputs
        if op == "Pad" and len(rest) > 1:
            rest[1] = None  # what is filled in comes from no element: place 0
        places = np.arange(1, x.size + 1, dtype=np.float64).reshape(x.shape)
        total = np.zeros(x.size + 1)
        for moved, gradient in zip(OPERATORS[op](found, places, *rest), given, strict=True):
            index = moved.ravel().astype(np.int64)
            total += np.bincount(index, gradient.ravel(), x.size + 1)
        return [total[1:].reshape(x.shape)]

    return adjoint


def _concat(found: Found, inputs: list[Any], _: list[Array], given: list[Array]) -> list[Any]:
    axis = int(found["axis"])
    ends = np.cumsum([x.shape[axis] for x in inputs])[:-1]
    return list(np.split(given[0], ends, axis))


def _extreme(sign: float) -> Adjoint:
    """Max (1) or Min (-1): to the first of the inputs that is it."""

    def adjoint(
        _: Found, inputs: list[Any], outputs: list[Array], given: list[Array]
    ) -> list[Array | None]:
        left = np.ones(outputs[0].shape, np.bool_)
        found: list[Array | None] = []
        for x in inputs:
            chosen = left & (sign * x >= sign * outputs[0])
            left &= ~chosen
            found.append(_shaped(np.where(chosen, given[0], 0.0), x))
        return found

    return adjoint


def _shaped(gradient: Array, x: Any) -> Array:
    """Sum over the axes along which x was repeated."""
    shape = np.shape(x)
    gradient = gradient.sum(tuple(range(gradient.ndim - len(shape))))
    repeated = tuple(i for i, n in enumerate(shape) if n == 1 and gradient.shape[i] > 1)
    return np.asarray(gradient.sum(repeated, keepdims=True))


def _bilinear(of_left: Callable[..., Any], of_right: Callable[..., Any]) -> Adjoint:
    """Two inputs, broadcast: the partial derivatives times the gradient."""

    def adjoint(
        _: Found, inputs: list[Any], outputs: list[Array], given: list[Array]
    ) -> list[Array | None]:
        a, b = inputs
        left = np.broadcast_to(of_left(a, b), outputs[0].shape) * given[0]
        right = np.broadcast_to(of_right(a, b), outputs[0].shape) * given[0]
        return [_shaped(left, a), _shaped(right, b)]

    return adjoint


def _slope(of: Callable[..., Any]) -> Adjoint:
    """One moving input: its slope at every element times the gradient."""
    return lambda found, inputs, outputs, given: [given[0] * of(*inputs)]


def _inside(x: Array, low: Any = None, high: Any = None) -> Array:
    above = np.ones(x.shape) if low is None else (x >= low).astype(np.float64)
    return above if high is None else above * (x <= high)


def _each(ops: Sequence[str]) -> dict[str, Adjoint]:
    return {op: _moving(op) for op in ops}


ADJOINTS: dict[str, Adjoint] = {
    **_each([op for op in layout.OPERATORS if op != "Concat"]),
    "Abs": _slope(np.sign),
    "Add": _bilinear(lambda a, b: 1.0, lambda a, b: 1.0),
    "Cast": _slope(lambda x: 1.0),
    "Clip": _slope(_inside),
    "Concat": _concat,
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "Div": _bilinear(lambda a, b: 1.0 / b, lambda a, b: -a / b**2),
    "Identity": _slope(lambda x: 1.0),
    "Max": _extreme(1.0),
    "Min": _extreme(-1.0),
    "Mul": _bilinear(lambda a, b: b, lambda a, b: a),
    "Neg": _slope(lambda x: -1.0),
    "Relu": _slope(lambda x: x > 0),
    "Sub": _bilinear(lambda a, b: 1.0, lambda a, b: -1.0),
}
