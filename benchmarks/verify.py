"""What a bound costs and how tight it is: single layers, and a network as large as size M2.

Prints, for each layer, the guaranteed bound over the largest norm of the symbol that was found (an
estimate from below, no proof), and the time of the bound; then the same for a stand-in network of
49 convolutions with up to 512 channels. The kernels are orthogonal like trained ones, float32.

    python benchmarks/verify.py [--channels 32 128 512] [--no-arbitrary] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from lipdeploy.core.operator_norm import convolution_norm_bound, convolution_norm_estimate
from lipdeploy.export.verifier.graph import Graph
from lipdeploy.export.verifier.lipschitz import graph_bound

# Channels, blocks, stride and dilation of each stage.
STAGES = ((64, 4, 2, 1), (128, 4, 2, 1), (256, 6, 2, 1), (512, 4, 1, 2), (512, 3, 1, 4))


def orthogonal_kernel(
    rng: np.random.Generator, out: int, inside: int, taps: int, stride: int = 1
) -> np.ndarray:
    """Product of projections (BCOP), composed with an orthogonal reduction for a stride."""
    wide = max(out, inside) if stride == 1 else inside
    kernel = np.eye(wide)[:, :, None, None]
    for axis in (2, 3) * (taps - stride):
        basis = np.linalg.qr(rng.standard_normal((wide, wide // 2)))[0]
        kept = np.tensordot(basis @ basis.T, kernel, 1)
        before, after = [(0, 0)] * 4, [(0, 0)] * 4
        before[axis], after[axis] = (0, 1), (1, 0)
        kernel = np.pad(kept, before) + np.pad(kernel - kept, after)
    square = max(out, inside * stride**2)
    mixing = np.linalg.qr(rng.standard_normal((square, square)))[0][:out, : inside * stride**2]
    if stride == 1:
        return (np.tensordot(mixing, kernel, 1) if wide == inside else _cut(mixing, kernel)).astype(
            np.float32
        )
    total = np.zeros((out, inside, taps, taps))
    parts = mixing.reshape(out, inside, stride, stride)
    size = taps - stride + 1
    for y in range(stride):
        for x in range(stride):
            total[:, :, y : y + size, x : x + size] += np.tensordot(parts[:, :, y, x], kernel, 1)
    return total.astype(np.float32)


def _cut(mixing: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """More channels out than in: a kernel on the larger side after an isometry."""
    return np.tensordot(kernel, mixing, axes=(1, 0)).transpose(0, 3, 1, 2)


class Stand:
    """The graph of the stand-in network under construction."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def node(self, op: str, *inputs: str, outputs: int = 1, **found: Any) -> list[str]:
        """Append a node; returns the names of its outputs."""
        names = [f"t{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(op, list(inputs), names, **found))
        return names

    def conv(
        self, x: str, out: int, inside: int, taps: int = 3, stride: int = 1, dilation: int = 1
    ) -> str:
        """An orthogonal convolution with zero padding."""
        name = f"layer{len(self.constants)}.weight"
        kernel = orthogonal_kernel(self.rng, out, inside, taps, stride)
        if inside == 3:
            kernel = (kernel / 255).astype(np.float32)
        self.constants.append(numpy_helper.from_array(kernel, name))
        pad = dilation * (taps // 2)
        return self.node(
            "Conv", x, name, pads=[pad] * 4, strides=[stride] * 2, dilations=[dilation] * 2
        )[0]

    def sort(self, a: str, b: str) -> tuple[str, str]:
        """MaxMin of two halves."""
        return self.node("Max", a, b)[0], self.node("Min", a, b)[0]

    def halves(self, x: str) -> tuple[str, str]:
        """MaxMin of the halves of the channels."""
        a, b = self.node("Split", x, outputs=2, axis=1, num_outputs=2)
        return self.sort(a, b)

    def block(self, a: str, b: str, half: int, dilation: int) -> tuple[str, str]:
        """(a, b) to MaxMin(second(MaxMin(first(b))), a), as in `training.network.blocks`."""
        inner = self.node("Concat", *self.halves(self.conv(b, half, half, 3, 1, dilation)), axis=1)
        return self.sort(self.conv(inner[0], half, half, 3, 1, dilation), a)


def stand_in(side: int, classes: int = 7) -> onnx.ModelProto:
    """49 convolutions on residual halves, a pointwise fusion and a pixel-shuffle head."""
    net = Stand()
    x = net.node("Cast", "image", to=TensorProto.FLOAT)[0]
    x, inside = net.node("Transpose", x, perm=[0, 3, 1, 2])[0], 3
    for channels, blocks, stride, dilation in STAGES:
        a, b = net.halves(net.conv(x, channels, inside, 3, stride))
        for _ in range(blocks):
            a, b = net.block(a, b, channels // 2, dilation)
        x, inside = net.node("Concat", a, b, axis=1)[0], channels
    x = net.conv(x, 512, 512, 3, 1, 2)
    x = net.conv(x, classes * 64, 512, 1)
    net.nodes.append(helper.make_node("DepthToSpace", [x], ["logits"], blocksize=8, mode="CRD"))
    graph = helper.make_graph(
        net.nodes,
        "stand-in",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, [1, side, side, 3])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, classes, side, side])],
        net.constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def layer(kind: str, kernel: np.ndarray, stride: int = 1) -> dict[str, Any]:
    """Bound, estimate and time of one layer."""
    start = time.perf_counter()
    bound = convolution_norm_bound(kernel, (stride, stride))
    seconds = time.perf_counter() - start
    estimate = convolution_norm_estimate(kernel, (stride, stride))
    found = {"kind": kind, "shape": kernel.shape, "bound": bound, "ratio": bound / estimate}
    print(f"{kind:22} {kernel.shape!s:18} L <= {bound:<12.6f} ratio {bound / estimate:.6f}", end="")
    print(f"  {seconds:6.2f} s", flush=True)
    return found | {"seconds": seconds}


def layers(channels: list[int], *, arbitrary: bool) -> list[dict[str, Any]]:
    """Orthogonal, 8-bit and arbitrary kernels of 3 x 3 taps."""
    found = []
    for n in channels:
        rng = np.random.default_rng(n)
        kernel = orthogonal_kernel(rng, n, n, 3)
        found.append(layer("orthogonal", kernel))
        found.append(layer("orthogonal, stride 2", orthogonal_kernel(rng, n, n, 3, 2), 2))
        if arbitrary:
            step = np.abs(kernel).max((1, 2, 3), keepdims=True) / 127
            found.append(layer("orthogonal in int8", np.rint(kernel / step) * step))
            found.append(layer("arbitrary", rng.standard_normal((n, n, 3, 3))))
    return found


def network(side: int) -> dict[str, Any]:
    """Bound and time of the stand-in network."""
    model = stand_in(side)
    count = sum(node.op_type == "Conv" for node in model.graph.node)
    start = time.perf_counter()
    lipschitz = graph_bound(Graph(model)).lipschitz
    seconds = time.perf_counter() - start
    print(f"stand-in, {count} convolutions, {side} x {side}: L <= {lipschitz:.6f}  {seconds:.1f} s")
    return {"convolutions": count, "side": side, "lipschitz": lipschitz, "seconds": seconds}


def main() -> None:
    """Print the table, and write it as JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--channels", type=int, nargs="+", default=[32, 128, 512])
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--no-arbitrary", action="store_true")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    found = {
        "layers": layers(args.channels, arbitrary=not args.no_arbitrary),
        "network": network(args.side),
    }
    if args.json:
        args.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
