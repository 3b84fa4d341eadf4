"""Convolutions and products with constant matrices: the bound of the weighted kernel."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from lipdeploy.core.errors import VerificationError
from lipdeploy.core.manifest import LayerBound
from lipdeploy.core.operator_norm import convolution_norm_bound, matrix_norm_bound
from lipdeploy.export.verifier.axes import (
    finite,
    integers,
    positive,
    text,
    transposed_pads,
    windows,
)
from lipdeploy.export.verifier.graph import attributes, label
from lipdeploy.export.verifier.operators.layout import pads_per_axis
from lipdeploy.export.verifier.rules.walk import Rule, Walk, factors
from lipdeploy.export.verifier.rules.weights import per_index

Array = npt.NDArray[np.float64]
BYTES_PER_UNIT = 255.0


def stored_kernel(walk: Walk, node: onnx.NodeProto) -> Array:
    """The constant kernel of a convolution, checked; its bias must be constant too."""
    kernel = walk.constant(node, 1)
    if kernel.ndim != 4:
        raise VerificationError(f"{label(node)}: kernel of {kernel.ndim} axes, expected 4")
    if not kernel.size or kernel.dtype.kind != "f":
        raise VerificationError(f"{label(node)}: kernel of {kernel.shape} {kernel.dtype}")
    found, groups = attributes(node), groups_of(node)
    if len(kernel) % groups or tuple(found.get("kernel_shape") or kernel.shape[2:]) != tuple(
        kernel.shape[2:]
    ):
        raise VerificationError(f"{label(node)}: kernel {kernel.shape} does not fit its attributes")
    walk.optional(node, 2)
    return np.asarray(kernel, np.float64)


def groups_of(node: onnx.NodeProto) -> int:
    """Number of groups of a convolution, at least 1."""
    groups = int(attributes(node).get("group", 1))
    if groups < 1:
        raise VerificationError(f"{label(node)}: group is {groups}")
    return groups


def _conv(walk: Walk, node: onnx.NodeProto) -> None:
    """Any zero padding: the operator is a compression of the one on the infinite lattice."""
    weights, kernel = walk.take(node.output[0]), stored_kernel(walk, node)
    windows(attributes(node), walk.shape(node.input[0])[2:], kernel.shape[2:])
    outputs = per_index(weights, 1, len(kernel))
    scale = _convolution(walk, node, kernel, outputs, transposed=False)
    walk.add(_behind_circular_padding(walk, node), np.full((1, 1, 1, 1), scale))


def _conv_transpose(walk: Walk, node: onnx.NodeProto) -> None:
    """The adjoint of a convolution, cropped: pads and output_padding choose what is kept."""
    weights, kernel = walk.take(node.output[0]), stored_kernel(walk, node)
    transposed_pads(attributes(node), walk.shape(node.input[0])[2:], kernel.shape[2:])
    outputs = per_index(weights, 1, kernel.shape[1] * groups_of(node))
    scale = _convolution(walk, node, kernel, outputs, transposed=True)
    walk.add(node.input[0], np.full((1, 1, 1, 1), scale))


def _convolution(
    walk: Walk, node: onnx.NodeProto, kernel: Array, weights: Array, *, transposed: bool
) -> float:
    """Bound of diag(weights) times the convolution; records the plain one."""
    groups = groups_of(node)
    sh, sw = positive(attributes(node), "strides", 2)
    dh, dw = positive(attributes(node), "dilations", 2)

    def bound(taps: Array) -> float:
        return float(factors(node, convolution_norm_bound(taps, (sh, sw), (dh, dw), groups)))

    def weighted(shape: Array) -> Array:
        if not transposed:
            return kernel * shape[:, None, None, None]
        by_group = np.repeat(shape.reshape(groups, -1), len(kernel) // groups, 0)
        return kernel * by_group[:, :, None, None]

    if walk.records:
        _record(walk, node, kernel, cached(walk, node, np.ones(0), lambda _: bound(kernel)))
    scale, shape = normalised(weights, _used(kernel, groups, transposed=transposed))
    return scale * cached(walk, node, shape, lambda s: bound(weighted(s) if s.size else kernel))


def _used(kernel: Array, groups: int, *, transposed: bool) -> npt.NDArray[np.bool_]:
    """Which output channels have a tap other than 0."""
    if not transposed:
        return np.asarray((kernel != 0).any((1, 2, 3)))
    by_group = (kernel != 0).any((2, 3)).reshape(groups, -1, kernel.shape[1])
    return np.asarray(by_group.any(1).ravel())


def normalised(weights: Array, matters: npt.NDArray[np.bool_]) -> tuple[float, Array]:
    """Largest weight among the rows that matter, and all relative to it; empty if all are 1.

    Rows of zeros do not count: relative to their weight the others could vanish.
    """
    scale = float(weights[matters].max(initial=0.0))
    shape = np.where(matters, weights, 0.0) / scale if scale else weights[:0]
    return scale, shape[:0] if (shape[matters[: len(shape)]] == 1).all() else shape


def cached(walk: Walk, node: onnx.NodeProto, shape: Array, bound: Any) -> float:
    """The bound for weights of one form, computed once."""
    key = (id(node), shape.tobytes())
    if key not in walk.file.norms:
        walk.file.norms[key] = bound(shape)
    return walk.file.norms[key]


def _record(walk: Walk, node: onnx.NodeProto, matrix: Array, norm: float) -> None:
    unit = BYTES_PER_UNIT if node.input[0] in walk.file.units else 1.0
    constant = next(name for name in node.input if name in walk.file.constants)
    name = constant.removesuffix(".weight")
    walk.layers.append(LayerBound(name, node.op_type, tuple(matrix.shape), norm * unit))


def _behind_circular_padding(walk: Walk, node: onnx.NodeProto) -> str:
    """The tensor before a Pad in wrap mode, if the pair is a circular convolution.

    Where the stride divides the size and no window is counted twice, the pair is a convolution on
    the torus: its symbol is that of the lattice, sampled. Otherwise (an odd size with stride 2: a
    norm up to 1.86 was measured) the Pad keeps its own norm.
    """
    pad = walk.file.graph.producer.get(node.input[0])
    if pad is None or not walk.covers(pad) or pad.op_type != "Pad":
        return str(node.input[0])
    circular = text(attributes(pad), "mode", "constant") == "wrap" and _covers_once(walk, node, pad)
    return str(pad.input[0] if circular else node.input[0])


def _covers_once(walk: Walk, node: onnx.NodeProto, pad: onnx.NodeProto) -> bool:
    found, before = attributes(node), walk.shape(pad.input[0])
    if any(integers(found, "pads", 4, 0)) or text(found, "auto_pad", "NOTSET") != "NOTSET":
        return False
    pads = pads_per_axis(len(before), walk.constant(pad, 1), walk.optional(pad, 3))
    if any(pads.get(axis, (0, 0)) != (0, 0) for axis in (0, 1)):
        return False
    sizes = zip(
        before[2:], walk.shape(node.output[0])[2:], positive(found, "strides", 2), strict=True
    )
    return all(size % stride == 0 and out * stride <= size for size, out, stride in sizes)


def _gemm(walk: Walk, node: onnx.NodeProto) -> None:
    """Rows of A times a constant matrix; C is a constant."""
    found = attributes(node)
    walk.optional(node, 2)
    finite(found, "beta", 1.0)
    if found.get("transA", 0):
        raise VerificationError(f"{label(node)}: transA is not known")
    matrix = walk.constant(node, 1)
    matrix = finite(found, "alpha", 1.0) * (matrix.T if found.get("transB", 0) else matrix)
    _product(walk, node, node.input[0], matrix.T, axis=1)


def _matmul(walk: Walk, node: onnx.NodeProto) -> None:
    """A product with a constant matrix on either side, of the last axis or the one before it."""
    right = node.input[1] in walk.file.constants
    matrix = walk.constant(node, 1 if right else 0)
    moving = node.input[0 if right else 1]
    rank = len(walk.shape(moving))
    if matrix.ndim != 2 or rank < 2:
        raise VerificationError(f"{label(node)}: expected a constant matrix and a tensor")
    _product(walk, node, moving, matrix.T if right else matrix, axis=rank - (1 if right else 2))


def _product(
    walk: Walk, node: onnx.NodeProto, moving: str, matrix: npt.NDArray[Any], axis: int
) -> None:
    """Every line of the tensor along one axis becomes `matrix` (M, N) times it."""
    matrix = np.asarray(matrix, np.float64)
    weights = per_index(walk.take(node.output[0]), axis, len(matrix))

    def bound(shape: Array) -> float:
        rows = matrix * shape[:, None] if shape.size else matrix
        return float(factors(node, matrix_norm_bound(rows)))

    if walk.records:
        _record(walk, node, matrix, cached(walk, node, np.ones(0), bound))
    scale, shape = normalised(weights, np.abs(matrix).max(1) > 0)
    total = scale * cached(walk, node, shape, bound)
    walk.add(moving, np.full((1,) * len(walk.shape(moving)), total))


_WINDOW = frozenset({"auto_pad", "dilations", "group", "kernel_shape", "pads", "strides"})

RULES: dict[str, Rule] = {
    "Conv": Rule(_conv, _WINDOW),
    "ConvTranspose": Rule(_conv_transpose, _WINDOW | {"output_padding", "output_shape"}),
    "Gemm": Rule(_gemm, frozenset({"alpha", "beta", "transA", "transB"})),
    "MatMul": Rule(_matmul),
}
