"""What orthogonal layers cost in training: one step against the unconstrained twin.

The paper's Table 5 asks this at batch 30 and 100: the parametrisation is paid once a step, so its
share falls as the batch grows. Steps are taken in turns, so that a busy machine hurts both alike.
On a CPU the time is processor time of all threads, on a GPU wall time up to the end of the step;
the peak of the memory is taken in a process of its own for each network.

    python benchmarks/training_step.py [--size S] [--batch 8] [--rounds 5] [--imgsz 128]
    python benchmarks/training_step.py --size S M1 --batch 30 100 --imgsz 256 --device cuda
    python benchmarks/training_step.py --batch 30 --accumulate 5 --rounds 2
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch

from lipdeploy.training.layers.unit import Constraint
from lipdeploy.training.loss import build_loss
from lipdeploy.training.network import SIZES, NetworkConfig, build_network
from lipdeploy.training.network.config import ARCHS, VARIANTS
from lipdeploy.training.optimizer import build_optimizer
from lipdeploy.training.precision import PRECISIONS, Precision
from lipdeploy.training.progress import device_name
from lipdeploy.training.update import Update

CLASSES = 2
CONSTRAINTS = ("none", "orthogonal")


@dataclass(frozen=True)
class Case:
    """One network and the batch it is trained on."""

    constraint: str
    arch: str
    variant: str
    size: str
    batch: int
    imgsz: int
    accumulate: int
    precision: str
    device: str


def stepper(case: Case) -> Callable[[], float]:
    """One whole training step, as `lipdeploy train` takes it."""
    torch.manual_seed(0)
    device = torch.device(case.device)
    constraint = cast(Constraint, case.constraint)
    config = NetworkConfig(CLASSES, case.arch, case.size, constraint, case.variant)
    network = build_network(config).to(device).train()
    update = Update(
        network,
        build_loss("cross-entropy", temperature=40.0, eps=0.25),
        build_optimizer("adamw", network, 1e-3, 1e-4),
        Precision(case.precision, device),
        accumulate=case.accumulate,
    )
    images = torch.rand(case.batch, 3, case.imgsz, case.imgsz)
    labels = torch.randint(0, CLASSES, (case.batch, case.imgsz, case.imgsz))
    return lambda: update(images, labels)


def seconds(step: Callable[[], float], device: str) -> float:
    """Time of one step; its loss is a number on the host, so the GPU has ended the pass."""
    clock = time.process_time if device == "cpu" else time.perf_counter
    if device != "cpu":
        torch.cuda.synchronize()
    start = clock()
    step()
    if device != "cpu":
        torch.cuda.synchronize()
    return clock() - start


def in_turns(cases: list[Case], rounds: int) -> list[float]:
    """Median seconds of a step of each case, after one round that does not count."""
    steppers = [stepper(case) for case in cases]
    times: list[list[float]] = [[] for _ in cases]
    for _ in range(rounds + 1):
        for case, step, found in zip(cases, steppers, times, strict=True):
            found.append(seconds(step, case.device))
    return [statistics.median(found[1:]) for found in times]


def own_peak_mib(case: Case) -> tuple[float, float]:
    """Peak memory of this process over two steps, and what it held before, in MiB."""
    before = resident_mib() if case.device == "cpu" else 0.0
    step = stepper(case)
    for _ in range(2):
        step()
    if case.device != "cpu":
        return torch.cuda.max_memory_allocated() / 2**20, before
    return resident_mib(), before


def resident_mib() -> float:
    """Largest resident memory of this process so far, in MiB."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def peak_mib(case: Case) -> tuple[float, float]:
    """`own_peak_mib` in a process of its own."""
    text = json.dumps(dataclasses.asdict(case))
    command = [sys.executable, __file__, "--alone", text, "--threads", str(torch.get_num_threads())]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    peak, before = json.loads(done.stdout)
    return float(peak), float(before)


def measure(groups: list[list[Case]], rounds: int) -> None:
    """Print one line a case, each against the first of its group.

    Every peak is taken before any step of this process: on Linux a child starts with the peak of
    its parent.
    """
    peaks = {case: peak_mib(case) for cases in groups for case in cases}
    for cases in groups:
        times = in_turns(cases, rounds)
        for case, value in zip(cases, times, strict=True):
            peak, before = peaks[case]
            print(
                f"{case.size:3} batch {case.batch:4} {case.constraint:12} {value:8.3f} s a step "
                f"{value / times[0]:5.2f} x none   {peak:7.0f} MiB peak, {before:.0f} before",
                flush=True,
            )


def parser() -> argparse.ArgumentParser:
    """Options of the benchmark."""
    found = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    found.add_argument("--arch", choices=ARCHS, default=ARCHS[0])
    found.add_argument("--variant", choices=VARIANTS, default=VARIANTS[0])
    found.add_argument("--size", nargs="+", choices=list(SIZES), default=["S"])
    found.add_argument("--batch", nargs="+", type=int, default=[8])
    found.add_argument("--imgsz", type=int, default=128)
    found.add_argument("--accumulate", type=int, default=1)
    found.add_argument("--precision", choices=list(PRECISIONS), default="float32")
    found.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    found.add_argument("--threads", type=int, default=1)
    found.add_argument("--rounds", type=int, default=5, help="steps of each network that count")
    found.add_argument("--alone", help=argparse.SUPPRESS)
    return found


def main() -> None:
    """Measure and print."""
    options = parser().parse_args()
    torch.set_num_threads(options.threads)
    if options.alone:
        print(json.dumps(own_peak_mib(Case(**json.loads(options.alone)))))
        return
    print(f"{device_name(torch.device(options.device))}; torch {torch.__version__}")
    shared = {
        name: getattr(options, name)
        for name in ("arch", "variant", "imgsz", "accumulate", "precision", "device")
    }
    groups = [
        [Case(constraint=c, size=size, batch=batch, **shared) for c in CONSTRAINTS]
        for size in options.size
        for batch in options.batch
    ]
    measure(groups, options.rounds)


if __name__ == "__main__":
    main()
