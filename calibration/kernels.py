"""INT8 kernels: one symmetric scale per output channel, and scales that keep the layer below 1.

Rounding an orthogonal kernel to INT8 lifts its norm by 1 to 2 % (27 layers: L = 1.42). The lift is
taken out of the scales, which are float32, and costs no bit: every layer is divided by its own
bound. In the blocks the branch that is carried around the convolutions keeps its full size, so less
is lost than by dividing every radius by the product of all bounds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from lipdeploy.export.verifier.graph import Graph
from lipdeploy.export.verifier.lipschitz import graph_bound

LEVELS = 127  # symmetric: -128 is not used, so that no engine needs to negate it
AXES = {"Conv": 0, "ConvTranspose": 1}  # of the output channels in a kernel


@dataclass(frozen=True)
class QuantizedKernel:
    """Integers times a scale for each index of one axis.

    Attributes:
        integers: int8, shape of the kernel, -127..127.
        scales: float32, one per index of `axis`, above 0.
        axis: 0 for Conv, 1 for ConvTranspose.
    """

    integers: npt.NDArray[np.int8]
    scales: npt.NDArray[np.float32]
    axis: int


def quantized_kernel(kernel: npt.NDArray[np.floating], axis: int) -> QuantizedKernel:
    """Round to the nearest of 255 levels, the largest weight of each channel being the last.

    A channel of zeros gets scale 1.
    """
    others = tuple(i for i in range(kernel.ndim) if i != axis)
    largest = np.abs(kernel).max(axis=others).astype(np.float64)
    scales = np.where(largest > 0, largest / LEVELS, 1.0).astype(np.float32)
    steps = np.asarray(kernel, np.float64) / _along(scales, axis, kernel.ndim)
    integers = np.clip(np.rint(steps), -LEVELS, LEVELS).astype(np.int8)
    return QuantizedKernel(integers, scales, axis)


def quantized_kernels(trunk: onnx.ModelProto) -> dict[str, QuantizedKernel]:
    """The kernels of all Conv and ConvTranspose, by name of the stored kernel."""
    stored = {t.name: t for t in trunk.graph.initializer}
    return {
        node.input[1]: quantized_kernel(
            numpy_helper.to_array(stored[node.input[1]]), AXES[node.op_type]
        )
        for node in trunk.graph.node
        if node.op_type in AXES and node.input[1] in stored
    }


def int8_weight_trunk(
    trunk: onnx.ModelProto, kernels: Mapping[str, QuantizedKernel]
) -> onnx.ModelProto:
    """The trunk with these kernels stored as INT8 behind a DequantizeLinear each."""
    model = onnx.ModelProto()
    model.CopyFrom(trunk)
    kept = [t for t in model.graph.initializer if t.name not in kernels]
    nodes = list(model.graph.node)
    del model.graph.initializer[:], model.graph.node[:]
    model.graph.initializer.extend(kept)
    for name, kernel in kernels.items():
        stored, scale, zero = (f"{name}_{part}" for part in ("int8", "scale", "zero"))
        arrays: dict[str, npt.NDArray[Any]] = {stored: kernel.integers, scale: kernel.scales}
        arrays[zero] = np.zeros(kernel.scales.shape, np.int8)
        model.graph.initializer.extend(numpy_helper.from_array(a, n) for n, a in arrays.items())
        model.graph.node.append(
            helper.make_node(
                "DequantizeLinear",
                [stored, scale, zero],
                [name],
                name=f"dequantize_{name}",
                axis=kernel.axis,
            )
        )
    model.graph.node.extend(nodes)
    return model


def non_expansive(
    trunk: onnx.ModelProto, kernels: Mapping[str, QuantizedKernel]
) -> dict[str, QuantizedKernel]:
    """The same integers, with the scales of each layer divided by its bound where that is above 1.

    The verifier computes the bound again; nothing rests on the division.
    """
    bounds = _bounds(int8_weight_trunk(trunk, kernels))
    return {
        name: QuantizedKernel(
            kernel.integers,
            (kernel.scales / max(1.0, bounds.get(name.removesuffix(".weight"), 1.0))).astype(
                np.float32
            ),
            kernel.axis,
        )
        for name, kernel in kernels.items()
    }


def _bounds(trunk: onnx.ModelProto) -> dict[str, float]:
    layers = graph_bound(Graph(trunk)).layers
    return {layer.name: layer.bound for layer in layers}


def _along(values: npt.NDArray[np.float32], axis: int, rank: int) -> npt.NDArray[np.float64]:
    shape = [1] * rank
    shape[axis] = -1
    return values.astype(np.float64).reshape(shape)
