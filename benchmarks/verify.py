"""What a bound costs and how tight it is: single layers, and our networks of every size.

Prints, for each layer, the guaranteed bound over the largest norm of the symbol that was found (an
estimate from below, no proof), and the time of the bound; then the bound of the exported graph of
each network, with random orthogonal weights, and its time.

    python benchmarks/verify.py [--channels 32 128 512] [--no-arbitrary] [--sizes S M1 M2 L]
        [--variants split paper] [--side 512] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lipdeploy.core.operator_norm import convolution_norm_bound, convolution_norm_estimate
from lipdeploy.export.fold import folded
from lipdeploy.export.trunk import trunk_model
from lipdeploy.export.verifier.graph import Graph
from lipdeploy.export.verifier.lipschitz import graph_bound
from lipdeploy.training.network import SIZES, VARIANTS, NetworkConfig, build_network
from lipdeploy.training.network.config import Variant


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


def network(size: str, variant: Variant, side: int) -> dict[str, Any]:
    """Bound and time of a whole graph."""
    torch.manual_seed(0)
    config = NetworkConfig(7, size=size, variant=variant)
    model = trunk_model(folded(build_network(config).eval()), side, side)
    count = sum(node.op_type in ("Conv", "ConvTranspose") for node in model.graph.node)
    start = time.perf_counter()
    lipschitz = graph_bound(Graph(model)).lipschitz
    seconds = time.perf_counter() - start
    print(
        f"{size:2} {variant:6} {count:3} convolutions, {side} x {side}: "
        f"L <= {lipschitz:.6f}  {seconds:.1f} s",
        flush=True,
    )
    return {"size": size, "variant": variant, "lipschitz": lipschitz, "seconds": seconds}


def main() -> None:
    """Print the table, and write it as JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--channels", type=int, nargs="+", default=[32, 128, 512])
    parser.add_argument("--sizes", nargs="*", default=list(SIZES), choices=list(SIZES))
    parser.add_argument("--variants", nargs="+", default=["split"], choices=VARIANTS)
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--no-arbitrary", action="store_true")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    found = {
        "layers": layers(args.channels, arbitrary=not args.no_arbitrary),
        "networks": [
            network(size, variant, args.side) for size in args.sizes for variant in args.variants
        ],
    }
    if args.json:
        args.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
