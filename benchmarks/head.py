"""What certification costs: the exported file with and without its head, and PyTorch eager.

Prints, for each size, medians measured in turns in one run and their ratios to the bare network.
PyTorch eager runs the training network folded, then softmax-free top-2, sort and cumsum as in the
paper's Eq. 11 (in float64, so that its count is right).

    python benchmarks/head.py [--sizes 128 256 512] [--classes 7] [--threads 2] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import torch

from lipdeploy.core.manifest import Manifest, Numerics
from lipdeploy.export.artefact import Description, assembled
from lipdeploy.export.fold import FoldedNetwork, folded
from lipdeploy.export.trunk import trunk_model
from lipdeploy.training.network import NetworkConfig, build_network

EPS = 0.25
SETTLE_S = 0.05
BARE = "ONNX Runtime, no head"


def manifest(classes: int, side: int, head: str) -> Manifest:
    """Enough of a manifest to build a head; the figures do not matter for speed."""
    names = tuple(map(str, range(classes)))
    numerics = Numerics("float32", 1e-6, "none")
    return Manifest(names, side, side, head, 1, 1.00002, (), 1.0, numerics, "")


def onnx_session(model: bytes, threads: int) -> onnxruntime.InferenceSession:
    """The CPU session that `lipdeploy stream` would open."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


@torch.no_grad()
def eager(network: FoldedNetwork, image: torch.Tensor) -> float:
    """The paper's certificate in PyTorch: top-2, sort, cumsum, count."""
    top2 = network(image)[0].topk(2, 0).values.double()
    cost = ((top2[0] - top2[1]) / 2**0.5).flatten().square().sort().values
    return float((cost.cumsum(0) <= EPS**2).sum())


def candidates(side: int, classes: int, threads: int) -> dict[str, Callable[[], object]]:
    """The contestants at one size, on the same frame and the same weights."""
    torch.manual_seed(0)
    network = folded(build_network(NetworkConfig(classes)).eval())
    trunk = trunk_model(network, side, side)
    frame = np.random.default_rng(0).integers(0, 256, (1, side, side, 3), np.uint8)
    feed = {"image": frame, "eps": np.array([EPS], np.float32)}
    bare = onnx_session(trunk.SerializeToString(), threads)
    found: dict[str, Callable[[], object]] = {BARE: lambda: bare.run(None, {"image": frame})}
    for head in ("threshold", "sort"):
        model = assembled(trunk, manifest(classes, side, head), Description())
        session = onnx_session(model.SerializeToString(), threads)
        found[f"ONNX Runtime, {head} head"] = lambda session=session: session.run(None, feed)
    image = torch.from_numpy(frame)
    found["PyTorch eager, no head"] = torch.no_grad()(lambda: network(image))
    found["PyTorch eager, sort and cumsum"] = lambda: eager(network, image)
    return found


def medians_ms(found: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median time of each contestant, taken in turns so that all see the same machine.

    The threads of the one before are given time to stop spinning, and an untimed call comes first.
    """
    times: dict[str, list[float]] = {name: [] for name in found}
    for _ in range(rounds):
        for name, call in found.items():
            time.sleep(SETTLE_S)
            call()
            start = time.perf_counter()
            call()
            times[name].append((time.perf_counter() - start) * 1e3)
    return {name: statistics.median(values) for name, values in times.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[128, 256, 512])
    parser.add_argument("--classes", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    results = {}
    for side in options.sizes:
        results[side] = medians_ms(
            candidates(side, options.classes, options.threads), options.rounds
        )
        print(f"\n{side}x{side}, {options.classes} classes, {options.threads} threads")
        for name, value in results[side].items():
            print(f"  {name:32} {value:8.1f} ms   {value / results[side][BARE]:6.2f} x bare")
    if options.json:
        record = {"machine": platform.machine(), "onnxruntime": onnxruntime.__version__}
        options.json.write_text(json.dumps(record | {"medians_ms": results}, indent=2))


if __name__ == "__main__":
    main()
