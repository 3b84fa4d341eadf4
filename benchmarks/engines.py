"""Engines side by side: the exported file with and without its head, and PyTorch.

For each network a random one is initialised, folded and exported on the fly, since weights change
no times. ONNX Runtime and OpenVINO run the file's bytes through the sessions that
`lipdeploy stream` opens. PyTorch runs the folded network eager and compiled, the folded network
with the paper's certificate (top-2, sort, cumsum in float64), and the network as it was trained,
which makes its orthogonal kernels anew in each call. Every contestant takes its turn in each round.
Figures are medians of wall-clock time; the processor time beside them tells how much of it was
other work on the machine.

    python benchmarks/engines.py [--quick] [--threads 2] [--rounds 15] [--json FILE]

Targets: the head costs at most 10 % of the bare network in the best engine, and the best engine
with its head is at least twice as fast as PyTorch eager without one.
"""

from __future__ import annotations

import argparse
import json
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from lipdeploy.core.manifest import Manifest, Numerics
from lipdeploy.export.artefact import Description, assembled
from lipdeploy.export.fold import FoldedNetwork, folded
from lipdeploy.export.trunk import trunk_model
from lipdeploy.runtime.bench_timing import Times, in_turns, machine
from lipdeploy.runtime.session import Run, available_engines, engine_module
from lipdeploy.samples.scene import render
from lipdeploy.training.network import NetworkConfig, SegmentationNetwork, build_network

EPS = 0.25
HEAD_GOAL, SPEED_GOAL = 0.10, 2.0
CASES = (("S", 256), ("S", 512), ("M1", 256))
OUTPUTS = ("mask", "radius", "flips")
EAGER, COMPILED = "PyTorch eager, bare", "PyTorch compiled, bare"
CERTIFIED, TRAINED = "PyTorch eager, sort and sum", "PyTorch eager, as trained"


@dataclass(frozen=True)
class Case:
    """One network at one size."""

    size: str
    side: int
    classes: int

    @property
    def name(self) -> str:
        """For the tables."""
        return f"{self.size} at {self.side}x{self.side}, {self.classes} classes"


def manifest(case: Case) -> Manifest:
    """Enough of a manifest to build a head; the figures in it change no times."""
    names = tuple(map(str, range(case.classes)))
    numerics = Numerics("float32", 1e-6, "none")
    return Manifest(names, case.side, case.side, "threshold", 1, 1.00002, (), 1.0, numerics, "")


def contestants(case: Case, threads: int, compiled: bool) -> dict[str, Callable[[], object]]:
    """Every engine with and without the head, and PyTorch, on the same frame and weights."""
    torch.manual_seed(0)
    trained = build_network(NetworkConfig(case.classes, size=case.size)).eval()
    network = folded(trained)
    trunk = trunk_model(network, case.side, case.side)
    whole = assembled(trunk, manifest(case), Description())
    files = {"bare": trunk.SerializeToString(), "head": whole.SerializeToString()}
    frame = render(3, 2.0, case.side, case.side).image[np.newaxis]
    found: dict[str, Callable[[], object]] = {}
    for name in available_engines():
        for kind, data in files.items():
            run = engine_module(name).open_graph(data, threads)
            found[f"{name}, {kind}"] = call(run, kind, frame)
    return found | pytorch(trained, network, torch.from_numpy(frame), compiled)


def call(run: Run, kind: str, frame: npt.NDArray[np.uint8]) -> Callable[[], object]:
    """One inference of a file."""
    feed: dict[str, npt.NDArray[Any]] = {"image": frame}
    if kind == "bare":
        return lambda: run(["logits"], feed)
    feed["eps"] = np.array([EPS], np.float32)
    return lambda: run(OUTPUTS, feed)


def certified(network: FoldedNetwork, image: torch.Tensor) -> float:
    """The paper's certificate in PyTorch: top-2, sort, cumsum, count."""
    top2 = network(image)[0].topk(2, 0).values.double()
    cost = ((top2[0] - top2[1]) / 2**0.5).flatten().square().sort().values
    return float((cost.cumsum(0) <= EPS**2).sum())


def pytorch(
    trained: SegmentationNetwork, network: FoldedNetwork, image: torch.Tensor, compiled: bool
) -> dict[str, Callable[[], object]]:
    """The network in PyTorch, eager in three forms and, where a compiler is there, compiled."""
    infer = torch.inference_mode()
    pixels = image.permute(0, 3, 1, 2).float() / 255
    found: dict[str, Callable[[], object]] = {
        EAGER: infer(lambda: network(image)),
        CERTIFIED: infer(lambda: certified(network, image)),
        TRAINED: infer(lambda: trained(pixels)),
    }
    if compiled:
        fused = torch.compile(network)
        found[COMPILED] = infer(lambda: fused(image))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found[COMPILED]()
    return found


def verdict(times: dict[str, Times]) -> dict[str, Any]:
    """The two targets, from the medians."""
    heads = {n.removesuffix(", head"): t for n, t in times.items() if n.endswith(", head")}
    best = min(heads, key=lambda name: heads[name].median_ms)
    with_head, bare = heads[best], times[f"{best}, bare"]
    share = with_head.median_ms / bare.median_ms - 1
    speed = times[EAGER].median_ms / with_head.median_ms
    return {
        "best": best,
        "head_share": share,
        "head_share_cpu": with_head.median_cpu_ms / bare.median_cpu_ms - 1,
        "head_goal_met": share <= HEAD_GOAL,
        "speed_over_eager": speed,
        "speed_over_eager_cpu": times[EAGER].median_cpu_ms / with_head.median_cpu_ms,
        "speed_goal_met": speed >= SPEED_GOAL,
        "speed_over_eager_certified": times[CERTIFIED].median_ms / with_head.median_ms,
        "speed_over_eager_as_trained": times[TRAINED].median_ms / with_head.median_ms,
    }


def told(case: Case, times: dict[str, Times], found: dict[str, Any]) -> str:
    """One table."""
    eager = times[EAGER].median_ms
    lines = [f"\n{case.name}", f"{'':28}{'ms':>9}{'cpu ms':>9}{'x eager':>9}"]
    for name, each in times.items():
        row = f"{each.median_ms:9.1f}{each.median_cpu_ms:9.1f}{eager / each.median_ms:9.2f}"
        lines.append(f"{name:28}{row}")
    lines.append(
        f"best engine {found['best']}: head {found['head_share'] * 100:+.1f} % "
        f"(processor time {found['head_share_cpu'] * 100:+.1f} %), goal {HEAD_GOAL * 100:.0f} % "
        f"{'met' if found['head_goal_met'] else 'MISSED'}; "
        f"{found['speed_over_eager']:.2f} x PyTorch eager "
        f"(processor time {found['speed_over_eager_cpu']:.2f} x), goal {SPEED_GOAL:g} x "
        f"{'met' if found['speed_goal_met'] else 'MISSED'}"
    )
    return "\n".join(lines)


def options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="5 rounds, nothing compiled")
    parser.add_argument("--classes", type=int, default=7)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def main() -> None:
    """Measure and print."""
    args = options()
    torch.set_num_threads(args.threads)
    rounds = 5 if args.quick else args.rounds
    record: dict[str, Any] = {"machine": machine(), "threads": args.threads, "rounds": rounds}
    record["torch"] = torch.__version__
    record["engines"] = [engine_module(name).ENGINE for name in available_engines()]
    print({**record["machine"], "threads": args.threads, "rounds": rounds}, flush=True)
    print(", ".join(record["engines"]), f"torch {torch.__version__}", flush=True)
    record["cases"] = {}
    for size, side in CASES:
        case = Case(size, side, args.classes)
        times = in_turns(contestants(case, args.threads, not args.quick), range(rounds))
        found = verdict(times)
        print(told(case, times, found), flush=True)
        medians = {n: {"ms": t.median_ms, "cpu_ms": t.median_cpu_ms} for n, t in times.items()}
        record["cases"][case.name] = {"medians": medians, **found}
    record["load_after"] = round(os.getloadavg()[0], 2)
    print(f"\nload {record['machine']['load_before']} before, {record['load_after']} after")
    if args.json:
        args.json.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
