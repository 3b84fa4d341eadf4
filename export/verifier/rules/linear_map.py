"""A linear part of the graph as one convolution, so that a sum of branches is bounded as one map.

A map is T = P K E + R on zero-padded planes: E puts the plane on the infinite lattice, K is a
convolution with a stride, P cuts out the plane of the output, and R is a remainder of which only a
bound is known. Then ||diag(w) T|| <= ||diag(w) K|| + max(w) ||R||.

**Products.** K2 after K1 is P2 K2 (P1 K1 E). The cut P1 between them does nothing, and the product
is the convolution K2 K1, in two cases:

* K2 is pointwise and all positions that it reads lie on the plane of P1. One pixel of padding at
  the end is enough to break this: K2 reads a 0 there where K1 E has a value.
* K1 is pointwise and what its plane leaves out lies beyond the anchor's plane, where E has zeros.

Both are checked with the sizes at hand. Otherwise write
P1 = (1 + S) / 2 with S = 2 P1 - 1, which is +1 on the plane and -1 outside and so preserves norms:

    P2 K2 P1 K1 E = P2 (K2 K1 / 2) E + R,    ||R|| <= ||K2|| ||K1|| / 2.

The rounding of composed kernels, which may cancel to almost nothing, is part of the remainder.

Half of what two branches have in common is kept: x + g(x) with g close to -x after two convolutions
is bounded by about 1 and not by 2.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import onnx

from lipdeploy.core.exact import sum_rest
from lipdeploy.core.matrix_norm import UNIT_ROUNDOFF
from lipdeploy.core.operator_norm import convolution_norm_bound
from lipdeploy.export.verifier.axes import Windows, windows
from lipdeploy.export.verifier.graph import attributes
from lipdeploy.export.verifier.rules.linear import groups_of, stored_kernel
from lipdeploy.export.verifier.rules.walk import Walk

Array = npt.NDArray[np.float64]
_LARGEST_KERNEL = 2**25  # entries


@dataclass(frozen=True)
class LinearMap:
    """A convolution with its place, and the bound of a remainder.

    Attributes:
        kernel: shape (O, I, kh, kw), dilation written out.
        origin: tap that meets the output's own position, per axis.
        stride: step per axis.
        remainder: bound of the norm of R.
    """

    kernel: Array
    origin: tuple[int, int] = (0, 0)
    stride: tuple[int, int] = (1, 1)
    remainder: float = 0.0

    @property
    def pointwise(self) -> bool:
        """Whether every output depends on one position of the lattice, at its own place."""
        return self.kernel.shape[2:] == (1, 1) and self.origin == (0, 0)

    def norm(self) -> float:
        """Bound of the convolution's norm, without the remainder."""
        return convolution_norm_bound(self.kernel, self.stride)

    def scaled(self, factors: Array) -> LinearMap:
        """After a product with one factor for each output channel, or one for all."""
        factors = np.broadcast_to(factors.ravel(), (len(self.kernel),))
        scaled = replace(self, kernel=self.kernel * factors[:, None, None, None])
        exact = bool((np.abs(factors) == 1).all())
        lost = self.remainder * float(np.abs(factors).max())
        lost += 0.0 if exact else 4 * UNIT_ROUNDOFF * scaled.size()
        return replace(scaled, remainder=lost)

    def size(self) -> float:
        """Sum over taps of Frobenius norms, at most: what relative errors of entries multiply."""
        return float(np.sqrt(self.kernel[0, 0].size) * np.linalg.norm(self.kernel))

    def weighted_norm(self, weights: Array) -> float:
        """Bound of diag(weights) times the map."""
        lost = self.remainder + 32 * UNIT_ROUNDOFF * self.size()
        return self.scaled(weights).norm() + lost * float(weights.max())

    def then(self, after: LinearMap, planes: Planes) -> LinearMap | None:
        """The product of this map and one that is applied to its output."""
        kernel = _product(after.kernel, self.kernel, self.stride)
        if kernel is None:
            return None
        origin = tuple(
            s * b + a for s, b, a in zip(self.stride, after.origin, self.origin, strict=True)
        )
        stride = tuple(a * b for a, b in zip(self.stride, after.stride, strict=True))
        product = LinearMap(kernel, (origin[0], origin[1]), (stride[0], stride[1]))
        lost = 8 * (after.kernel[0].size + 8) * UNIT_ROUNDOFF * after.size() * self.size()
        if self.remainder:
            lost += (after.norm() + after.remainder) * self.remainder
        covered = self.pointwise and planes.leaves_only_zeros(self.stride)
        if covered or (after.pointwise and planes.reads_inside(after.stride)):
            return replace(product, remainder=lost)
        lost += 0.5 * after.norm() * self.norm()
        return replace(product, kernel=0.5 * kernel, remainder=lost)

    def plus(self, other: LinearMap) -> LinearMap | None:
        """The sum of two maps between the same planes."""
        if self.stride != other.stride or self.kernel.shape[:2] != other.kernel.shape[:2]:
            return None
        origin = tuple(max(a, b) for a, b in zip(self.origin, other.origin, strict=True))
        after = tuple(
            max(a.kernel.shape[2 + i] - a.origin[i] for a in (self, other)) for i in (0, 1)
        )
        shape = (*self.kernel.shape[:2], origin[0] + after[0], origin[1] + after[1])
        mine, theirs = np.zeros(shape), np.zeros(shape)
        for one, place in ((self, mine), (other, theirs)):
            y, x = origin[0] - one.origin[0], origin[1] - one.origin[1]
            kh, kw = one.kernel.shape[2:]
            place[:, :, y : y + kh, x : x + kw] = one.kernel
        total = mine + theirs
        # What the addition rounds away may be all that is left after the next one cancels.
        rounded = sum_rest(mine, theirs, total)
        lost = 2 * LinearMap(rounded).size() if rounded.any() else 0.0
        remainder = self.remainder + other.remainder + lost
        return LinearMap(total, (origin[0], origin[1]), self.stride, remainder)


@dataclass(frozen=True)
class Planes:
    """Rows and columns of the planes that a product of two maps goes through."""

    anchor: tuple[int, ...]
    between: tuple[int, ...]
    output: tuple[int, ...]

    def reads_inside(self, stride: tuple[int, int]) -> bool:
        """Whether a pointwise map with this stride reads nothing but the plane between."""
        sizes = zip(self.output, stride, self.between, strict=True)
        return all((count - 1) * step < size for count, step, size in sizes)

    def leaves_only_zeros(self, stride: tuple[int, int]) -> bool:
        """Whether a pointwise map with this stride onto the plane between leaves nothing out."""
        sizes = zip(self.between, stride, self.anchor, strict=True)
        return all(count * step >= size for count, step, size in sizes)


def identity(channels: int) -> LinearMap:
    """The map that changes nothing."""
    return LinearMap(np.eye(channels)[:, :, None, None])


def _product(after: Array, before: Array, stride: tuple[int, int]) -> Array | None:
    """Kernel of a convolution after one with a stride, or None if it would be too large."""
    (o, _, bh, bw), (_, i, ah, aw) = after.shape, before.shape
    shape = (o, i, (bh - 1) * stride[0] + ah, (bw - 1) * stride[1] + aw)
    if int(np.prod(shape)) > _LARGEST_KERNEL:
        return None
    kernel = np.zeros(shape)
    for y, x in itertools.product(range(bh), range(bw)):
        part = np.tensordot(after[:, :, y, x], before, 1)
        top, left = y * stride[0], x * stride[1]
        kernel[:, :, top : top + ah, left : left + aw] += part
    return kernel


def linear_map(walk: Walk, anchor: str, tensor: str) -> LinearMap | None:
    """The map from one tensor to another that depends on it alone, if it is of this form."""
    shape = walk.shape(anchor)
    nodes = walk.file.between(anchor, tensor)
    if len(shape) != 4 or any(node.op_type not in FORMS for node in nodes):
        return None
    maps = {anchor: identity(shape[1])}
    for node in nodes:
        made = FORMS[node.op_type](walk, node, Maps(shape[2:], maps))
        if made is None:
            return None
        maps[node.output[0]] = made
    return maps.get(tensor)


@dataclass(frozen=True)
class Maps:
    """The maps from the anchor, whose plane has this size, to each tensor that has one."""

    plane: tuple[int, ...]
    found: dict[str, LinearMap]

    def get(self, tensor: str) -> LinearMap | None:
        """The map to a tensor."""
        return self.found.get(tensor)


def _same(walk: Walk, node: onnx.NodeProto, maps: Maps) -> LinearMap | None:
    return maps.get(node.input[0])


def _negated(walk: Walk, node: onnx.NodeProto, maps: Maps) -> LinearMap | None:
    found = maps.get(node.input[0])
    return None if found is None else found.scaled(np.array([-1.0]))


def _sum(walk: Walk, node: onnx.NodeProto, maps: Maps) -> LinearMap | None:
    """Constants shift; every moving term must have the shape of the sum."""
    total: LinearMap | None = None
    for index, name in enumerate(node.input):
        if name in walk.file.constants:
            continue
        term = maps.get(name)
        if term is None or walk.shape(name) != walk.shape(node.output[0]):
            return None
        if node.op_type == "Sub" and index == 1:
            term = term.scaled(np.array([-1.0]))
        total = term if total is None else total.plus(term)
        if total is None:
            return None
    return total


def _scaled(walk: Walk, node: onnx.NodeProto, maps: Maps) -> LinearMap | None:
    """A product with one constant for all elements, or one for each channel."""
    moving = walk.file.moving(node)
    if len(moving) != 1 or walk.shape(moving[0]) != walk.shape(node.output[0]):
        return None
    index = 0 if node.input[0] in walk.file.constants else 1
    factor = walk.constant(node, index)
    if node.op_type == "Div":
        if index == 0 or (factor == 0).any():
            return None
        factor = 1.0 / factor
    shape = (1,) * (4 - factor.ndim) + factor.shape
    found = maps.get(moving[0])
    if found is None or len(shape) != 4 or shape[0] != 1 or shape[2:] != (1, 1):
        return None
    return found.scaled(factor)


def _conv(walk: Walk, node: onnx.NodeProto, maps: Maps) -> LinearMap | None:
    before, kernel = maps.get(node.input[0]), stored_kernel(walk, node)
    if before is None:
        return None
    between = walk.shape(node.input[0])[2:]
    axes = windows(attributes(node), between, kernel.shape[2:])
    after = _written_out(kernel, groups_of(node), axes)
    planes = Planes(maps.plane, between, walk.shape(node.output[0])[2:])
    return None if after is None else before.then(after, planes)


def _written_out(kernel: Array, groups: int, axes: list[Windows]) -> LinearMap | None:
    """A stored kernel with its groups and dilation as zeros."""
    o, per_group = kernel.shape[:2]
    h, w = (axis.span for axis in axes)
    if o * per_group * groups * h * w > _LARGEST_KERNEL:
        return None
    full = np.zeros((o, per_group * groups, h, w))
    for group, part in enumerate(np.split(kernel, groups)):
        rows = slice(group * o // groups, (group + 1) * o // groups)
        columns = slice(group * per_group, (group + 1) * per_group)
        full[rows, columns, :: axes[0].dilation, :: axes[1].dilation] = part
    y, x = axes
    return LinearMap(full, (y.begin, x.begin), (y.stride, x.stride))


Form = Callable[[Walk, onnx.NodeProto, Maps], LinearMap | None]

FORMS: dict[str, Form] = {
    "Add": _sum,
    "Conv": _conv,
    "Div": _scaled,
    "Identity": _same,
    "Mul": _scaled,
    "Neg": _negated,
    "Sub": _sum,
    "Sum": _sum,
}
