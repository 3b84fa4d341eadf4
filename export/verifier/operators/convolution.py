"""Convolutions and matrix products in float64."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from lipdeploy.export.verifier.axes import transposed_pads, windows

Array = npt.NDArray[np.float64]
Found = dict[str, Any]


def conv(found: Found, x: Array, kernel: Array, bias: Array | None = None) -> list[Array]:
    """Cross-correlation of N x C x H x W with O x C / groups x kh x kw."""
    axes = windows(found, x.shape[2:], kernel.shape[2:])
    padded = np.pad(x, ((0, 0), (0, 0), *((a.begin, a.end) for a in axes)))
    spans = tuple(a.span for a in axes)
    steps = [slice(0, (a.count - 1) * a.stride + 1, a.stride) for a in axes]
    taps = [slice(None, None, a.dilation) for a in axes]
    view = sliding_window_view(padded, spans, (2, 3))[(slice(None), slice(None), *steps, *taps)]
    groups = int(found.get("group", 1))
    total = np.stack([_grouped(view[n], kernel, groups) for n in range(len(x))])
    if bias is not None:
        total += bias[:, None, None]
    return [total]


def _grouped(view: Array, kernel: Array, groups: int) -> Array:
    """One sample: windows C x H x W x kh x kw to O x H x W."""
    height, width = view.shape[1:3]
    parts = [
        kernels.reshape(len(kernels), -1)
        @ part.transpose(0, 3, 4, 1, 2).reshape(-1, height * width)
        for kernels, part in zip(np.split(kernel, groups), np.split(view, groups), strict=True)
    ]
    return np.concatenate(parts).reshape(-1, height, width)


def conv_transpose(found: Found, x: Array, kernel: Array, bias: Array | None = None) -> list[Array]:
    """Adjoint of a convolution: every input element adds its multiple of the kernel."""
    groups = int(found.get("group", 1))
    axes = transposed_pads(found, x.shape[2:], kernel.shape[2:])
    full = np.zeros((len(x), kernel.shape[1] * groups, *(a[4] for a in axes)))
    parts = list(zip(np.split(x, groups, 1), np.split(kernel, groups), strict=True))
    for tap in itertools.product(*(range(k) for k in kernel.shape[2:])):
        places = tuple(
            slice(t * dilation, t * dilation + (size - 1) * stride + 1, stride)
            for t, size, (stride, dilation, *_) in zip(tap, x.shape[2:], axes, strict=True)
        )
        sums = [
            np.moveaxis(np.tensordot(part, k[:, :, tap[0], tap[1]], axes=(1, 0)), -1, 1)
            for part, k in parts
        ]
        full[(slice(None), slice(None), *places)] += np.concatenate(sums, 1)
    kept = tuple(slice(begin, size - end) for _, _, begin, end, size in axes)
    total = full[(slice(None), slice(None), *kept)]
    return [total if bias is None else total + bias[:, None, None]]


def _gemm(found: Found, a: Array, b: Array, c: Array | None = None) -> list[Array]:
    left = a.T if found.get("transA", 0) else a
    right = b.T if found.get("transB", 0) else b
    product = float(found.get("alpha", 1.0)) * (left @ right)
    return [product if c is None else product + float(found.get("beta", 1.0)) * c]


OPERATORS: dict[str, Callable[..., list[Any]]] = {
    "Conv": conv,
    "ConvTranspose": conv_transpose,
    "Gemm": _gemm,
    "MatMul": lambda _, a, b: [a @ b],
}
