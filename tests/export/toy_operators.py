"""Random uses of every linear operator that the Lipschitz rules know, one function an operator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from onnx import TensorProto

from tests.export.toy_graphs import Rng, Toy

Step = Callable[[Rng, Toy, str], str]


def random_kernel(rng: Rng, *shape: int) -> np.ndarray:
    kernel = rng.standard_normal(shape)
    if rng.random() < 0.3:  # box filters and other kernels of one sign have their peak at 0
        kernel = np.abs(kernel)
    return np.asarray(kernel / np.sqrt(np.prod(shape[1:])))


def _pads(rng: Rng, most: int = 2) -> list[int]:
    return [int(v) for v in rng.integers(0, most + 1, 4)]


def random_window(rng: Rng, toy: Toy, x: str) -> dict[str, Any]:
    """Kernel size, strides, dilations and pads that fit the tensor."""
    sizes = toy.shape_of(x)[2:]
    while True:
        kernel = [int(v) for v in rng.integers(1, 4, 2)]
        found = {
            "kernel_shape": kernel,
            "strides": [int(v) for v in rng.integers(1, 4, 2)],
            "dilations": [int(v) for v in rng.integers(1, 3, 2)],
        }
        mode = str(rng.choice(["NOTSET", "NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"]))
        pads = _pads(rng) if mode == "NOTSET" else [0, 0, 0, 0]
        if mode.startswith("SAME"):  # ONNX Runtime has no dilation with it, nor gaps
            found["dilations"] = [1, 1]
            found["strides"] = [min(s, k) for s, k in zip(found["strides"], kernel, strict=True)]
        spans = [(k - 1) * d + 1 for k, d in zip(kernel, found["dilations"], strict=True)]
        fits = all(spans[i] <= sizes[i] + pads[i] + pads[i + 2] for i in (0, 1))
        if fits:
            return found | ({"pads": pads} if mode == "NOTSET" else {"auto_pad": mode})


def conv(rng: Rng, toy: Toy, x: str) -> str:
    channels = toy.shape_of(x)[1]
    groups = channels if rng.random() < 0.3 else 1
    window = random_window(rng, toy, x)
    out = groups * int(rng.integers(1, 4))
    k = toy.constant(random_kernel(rng, out, channels // groups, *window["kernel_shape"]))
    bias = [toy.constant(rng.standard_normal(out))] if rng.random() < 0.5 else []
    return str(toy.node("Conv", x, k, *bias, group=groups, **window))


def conv_transpose(rng: Rng, toy: Toy, x: str) -> str:
    channels = toy.shape_of(x)[1]
    groups = channels if rng.random() < 0.3 else 1
    kernel = [int(v) for v in rng.integers(2, 4, 2)]
    strides = [int(v) for v in rng.integers(1, 4, 2)]
    found: dict[str, Any] = {"strides": strides, "group": groups, "dilations": [1, 1]}
    if rng.random() < 0.25:
        found["auto_pad"] = "SAME_UPPER" if rng.random() < 0.5 else "SAME_LOWER"
        found["strides"] = [min(s, k) for s, k in zip(strides, kernel, strict=True)]
    else:
        found["pads"] = _pads(rng, 1)
        found["dilations"] = [int(v) for v in rng.integers(1, 3, 2)]
        found["output_padding"] = [int(rng.integers(0, s)) for s in strides]
    k = toy.constant(random_kernel(rng, channels, int(rng.integers(1, 3)), *kernel))
    return str(toy.node("ConvTranspose", x, k, **found))


def gemm(rng: Rng, toy: Toy, x: str) -> str:
    flat = toy.node("Flatten", x, axis=1)
    size = int(np.prod(toy.shape_of(x)))
    turned = bool(rng.integers(2))
    matrix = rng.standard_normal((5, size) if turned else (size, 5)) / np.sqrt(size)
    inputs = [flat, toy.constant(matrix), toy.constant(rng.standard_normal(5))]
    return str(toy.node("Gemm", *inputs, transB=int(turned), alpha=float(rng.normal()), beta=2.0))


def matmul(rng: Rng, toy: Toy, x: str) -> str:
    shape = toy.shape_of(x)
    if rng.random() < 0.5:
        return str(toy.node("MatMul", x, toy.constant(rng.standard_normal((shape[-1], 3)))))
    return str(toy.node("MatMul", toy.constant(rng.standard_normal((3, shape[-2]))), x))


def mul(rng: Rng, toy: Toy, x: str) -> str:
    rank = len(toy.shape_of(x))
    shape = toy.shape_of(x)
    kinds = [(), (1,) * rank, (shape[1], *(1,) * (rank - 2)), shape, (2, *shape)]
    factor = rng.standard_normal(kinds[int(rng.integers(len(kinds)))])
    factor += np.sign(factor) * 0.2  # a divisor near zero would need more digits than float32 has
    op = "Div" if rng.random() < 0.4 else "Mul"
    pair = [x, toy.constant(factor)]
    return str(toy.node(op, *(pair if op == "Div" or rng.random() < 0.5 else pair[::-1])))


def shift(rng: Rng, toy: Toy, x: str) -> str:
    shape = toy.shape_of(x)
    kinds = [(), (shape[1], 1, 1), shape, (2, *shape), (*shape[:-1], 1)]
    value = toy.constant(rng.standard_normal(kinds[int(rng.integers(len(kinds)))]))
    return str(toy.node(str(rng.choice(["Add", "Sub"])), *rng.permutation([x, value])))


def batch_normalization(rng: Rng, toy: Toy, x: str) -> str:
    channels = toy.shape_of(x)[1]
    values = [*rng.standard_normal((3, channels)), rng.uniform(0.1, 2, channels)]
    return str(toy.node("BatchNormalization", x, *map(toy.constant, values), epsilon=1e-3))


def average_pool(rng: Rng, toy: Toy, x: str) -> str:
    window = random_window(rng, toy, x) | {"dilations": [1, 1]}
    if "pads" in window:  # ONNX wants every window to see something, and pads below the kernel
        kernel = window["kernel_shape"] * 2
        window["pads"] = [min(p, k - 1) for p, k in zip(window["pads"], kernel, strict=True)]
        window["ceil_mode"] = int(rng.integers(2))
    return str(toy.node("AveragePool", x, count_include_pad=int(rng.integers(2)), **window))


def global_average_pool(rng: Rng, toy: Toy, x: str) -> str:
    pooled = str(toy.node("GlobalAveragePool", x))
    if rng.random() < 0.5:
        return pooled
    wanted = toy.constant(toy.shape_of(x), np.int64)
    return str(toy.node("Expand", pooled, wanted))


def reduce_mean(rng: Rng, toy: Toy, x: str) -> str:
    axes = rng.choice([1, 2, 3], int(rng.integers(1, 3)), replace=False)
    return str(
        toy.node("ReduceMean", x, toy.constant(axes, np.int64), keepdims=int(rng.integers(2)))
    )


def resize(rng: Rng, toy: Toy, x: str) -> str:
    shape = toy.shape_of(x)
    modes = ["asymmetric", "half_pixel", "pytorch_half_pixel", "align_corners"]
    modes.append("half_pixel_symmetric")
    found: dict[str, Any] = {
        "mode": str(rng.choice(["nearest", "linear", "cubic"])),
        "coordinate_transformation_mode": str(rng.choice(modes)),
    }
    if found["mode"] == "nearest":
        rules = ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]
        found["nearest_mode"] = str(rng.choice(rules))
    if rng.random() < 0.5:
        sizes = [*shape[:2], *(int(v) for v in rng.integers(2, 10, 2))]
        return str(toy.node("Resize", x, "", "", toy.constant(sizes, np.int64), **found))
    scales = [1, 1, *rng.choice([0.5, 0.7, 1.0, 1.5, 2.0, 3.0], 2)]
    return str(toy.node("Resize", x, "", toy.constant(scales), **found))


def pad(rng: Rng, toy: Toy, x: str) -> str:
    shape = toy.shape_of(x)
    mode = str(rng.choice(["constant", "edge", "reflect", "wrap"]))
    most = [min(2, n - 1) for n in shape[2:]]
    pads = [int(rng.integers(0, m + 1)) for m in most * 2]
    value = [toy.constant(1.5)] if mode == "constant" else []
    if rng.random() < 0.5 and mode == "constant":
        axes = [2, 3]
        pads = [int(v) for v in rng.integers(-1, 2, 4)]
        return str(
            toy.node("Pad", x, toy.constant(pads, np.int64), *value, toy.constant(axes, np.int64))
        )
    every = [0, 0, *pads[:2], 0, 0, *pads[2:]]
    return str(toy.node("Pad", x, toy.constant(every, np.int64), *value, mode=mode))


def circular_conv(rng: Rng, toy: Toy, x: str) -> str:
    """Pad in wrap mode and a convolution with a stride, at odd and even sizes."""
    channels = toy.shape_of(x)[1]
    pads = toy.constant([0, 0, 1, 1, 0, 0, 1, 1], np.int64)
    padded = toy.node("Pad", x, pads, mode="wrap")
    k = toy.constant(random_kernel(rng, 3, channels, 3, 3))
    return str(toy.node("Conv", padded, k, strides=[int(v) for v in rng.integers(1, 4, 2)]))


def depth_to_space(rng: Rng, toy: Toy, x: str) -> str:
    more = toy.node("Conv", x, toy.constant(random_kernel(rng, 8, toy.shape_of(x)[1], 1, 1)))
    mode = "DCR" if rng.random() < 0.5 else "CRD"
    y = toy.node("DepthToSpace", more, blocksize=2, mode=mode)
    return str(y) if rng.random() < 0.5 else _scaled_pixels(rng, toy, str(y))


def _scaled_pixels(rng: Rng, toy: Toy, x: str) -> str:
    """A factor for every element: weights that differ over the plane."""
    return str(toy.node("Mul", x, toy.constant(rng.standard_normal(toy.shape_of(x)[1:]))))


def space_to_depth(rng: Rng, toy: Toy, x: str) -> str:
    shape = toy.shape_of(x)
    even = [n - n % 2 for n in shape[2:]]
    if min(even) == 0:
        return x
    starts, ends = toy.constant([0, 0], np.int64), toy.constant(even, np.int64)
    y = toy.node("Slice", x, starts, ends, toy.constant([2, 3], np.int64))
    return _scaled_pixels(rng, toy, str(toy.node("SpaceToDepth", y, blocksize=2)))


def concat(rng: Rng, toy: Toy, x: str) -> str:
    """Also of the same tensor twice, of a constant, and along any axis."""
    axis = int(rng.integers(1, 4))
    parts = [x, conv1x1(rng, toy, x), x]
    if axis == 1:
        parts.append(toy.constant(rng.standard_normal((1, 1, *toy.shape_of(x)[2:]))))
    return str(toy.node("Concat", *(str(p) for p in rng.permutation(parts)), axis=axis))


def conv1x1(rng: Rng, toy: Toy, x: str) -> str:
    channels = toy.shape_of(x)[1]
    k = toy.constant(random_kernel(rng, channels, channels, 1, 1))
    return str(toy.node("Conv", x, k))


def split(rng: Rng, toy: Toy, x: str) -> str:
    """Uneven parts, of which one may not be used."""
    axis = int(rng.integers(2, 4))
    size = toy.shape_of(x)[axis]
    if size < 2:
        return x
    if rng.random() < 0.5:
        first, second = toy.node("Split", x, outputs=2, axis=axis, num_outputs=2)
    else:
        lengths = toy.constant([1, size - 1], np.int64)
        first, second = toy.node("Split", x, lengths, outputs=2, axis=axis - 4)
    chosen = [[first], [second], [second, first], [first, second, first]]
    return str(toy.node("Concat", *chosen[int(rng.integers(4))], axis=axis))


def slice_(rng: Rng, toy: Toy, x: str) -> str:
    """Steps of either sign, ends beyond the axis; joined with what it overlaps."""
    shape = toy.shape_of(x)
    pieces = []
    for _ in range(2):
        step = int(rng.choice([-2, -1, 1, 2]))
        start, end = (-1, -100) if step < 0 else (int(rng.integers(0, 2)), 100)
        if shape[2] < 2:
            start = 0 if step > 0 else -1
        values = ([start], [end], [2], [step])
        pieces.append(toy.node("Slice", x, *(toy.constant(v, np.int64) for v in values)))
    return str(toy.node("Concat", *pieces, axis=2))


def transpose(rng: Rng, toy: Toy, x: str) -> str:
    """Channels become rows, and back after something that tells them apart."""
    perm = [0, *(int(v) for v in rng.permutation([1, 2, 3]))]
    return _scaled_pixels(rng, toy, str(toy.node("Transpose", x, perm=perm)))


def reshape(rng: Rng, toy: Toy, x: str) -> str:
    """Elements change channels; then each channel gets a factor of its own."""
    _, c, h, w = toy.shape_of(x)
    kinds: list[list[int]] = [[1, h, c, w], [0, -1, w, c], [1, c * h, w, 1]]
    wanted = toy.constant(kinds[int(rng.integers(3))], np.int64)
    y = toy.node("Reshape", x, wanted)
    channels = toy.shape_of(y)[1]
    return str(toy.node("Mul", y, toy.constant(rng.standard_normal((channels, 1, 1)))))


def squeeze(rng: Rng, toy: Toy, x: str) -> str:
    axes = toy.constant([0], np.int64)
    y = _scaled_pixels(rng, toy, str(toy.node("Squeeze", x, axes)))
    y = str(toy.node("Identity", toy.node("Dropout", y)))
    return str(toy.node("Cast", toy.node("Unsqueeze", y, axes), to=TensorProto.FLOAT))


def negate(rng: Rng, toy: Toy, x: str) -> str:
    return str(toy.node("Neg", x))


def quantized(rng: Rng, toy: Toy, x: str) -> str:
    """Weights stored as int8 with one scale for each output channel."""
    channels = toy.shape_of(x)[1]
    stored = toy.constant(rng.integers(-127, 128, (3, channels, 2, 2)), np.int8)
    scale = toy.constant(rng.uniform(0.001, 0.01, 3))
    zero = toy.constant(np.zeros(3), np.int8)
    k = toy.node("DequantizeLinear", stored, scale, zero, axis=0)
    return str(toy.node("Conv", x, k, pads=[1, 0, 0, 1]))


def fake_quantized(rng: Rng, toy: Toy, x: str) -> str:
    """Weights stored as floats and rounded in the graph."""
    channels = toy.shape_of(x)[1]
    steps = rng.integers(-150, 151, (3, channels, 2, 2)) + rng.uniform(-0.4, 0.4)
    scale, zero = toy.constant(0.01), toy.constant(0, np.int8)
    k = toy.node("QuantizeLinear", toy.constant(steps * 0.01), scale, zero)
    return str(toy.node("Conv", x, toy.node("DequantizeLinear", k, scale, zero)))


def residual(rng: Rng, toy: Toy, x: str) -> str:
    """x + g(x) with g linear: a convolution, a pointwise one, or a chain of them."""
    channels = toy.shape_of(x)[1]
    y = x
    for _ in range(int(rng.integers(1, 4))):
        size = int(rng.choice([1, 3]))
        k = (
            random_kernel(rng, channels, channels, size, size)
            - 0.3 * np.eye(channels)[..., None, None]
        )
        y = toy.node("Conv", y, toy.constant(k), pads=[size // 2] * 4)
        if rng.random() < 0.3:
            y = toy.node("Mul", y, toy.constant(rng.standard_normal((channels, 1, 1))))
    op = str(rng.choice(["Add", "Sub", "Sum"]))
    return str(toy.node(op, *(str(t) for t in rng.permutation([x, y]))))


def strided_residual(rng: Rng, toy: Toy, x: str) -> str:
    """Two convolutions with the same stride, added."""
    channels = toy.shape_of(x)[1]
    parts = []
    for size, pads in ((1, 0), (3, 1)):
        k = toy.constant(random_kernel(rng, 3, channels, size, size))
        parts.append(toy.node("Conv", x, k, strides=[2, 2], pads=[pads] * 4))
    return str(toy.node("Add", *parts))


LINEAR: tuple[Step, ...] = (
    conv,
    conv_transpose,
    gemm,
    matmul,
    mul,
    shift,
    batch_normalization,
    average_pool,
    global_average_pool,
    reduce_mean,
    resize,
    pad,
    circular_conv,
    depth_to_space,
    space_to_depth,
    concat,
    split,
    slice_,
    transpose,
    reshape,
    squeeze,
    negate,
    quantized,
    fake_quantized,
    residual,
    strided_residual,
)
