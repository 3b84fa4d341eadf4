"""What orthogonal layers cost in training: one step against the unconstrained twin, in turns.

Prints processor time, which a busy machine distorts less than wall-clock time.

    python benchmarks/training_step.py [--size S] [--imgsz 128] [--batch 8] [--rounds 5]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch

from lipdeploy.training.layers import OrthogonalConv2d
from lipdeploy.training.layers.unit import Constraint
from lipdeploy.training.loss import temperature_cross_entropy
from lipdeploy.training.network import NetworkConfig, build_network

CLASSES = 2


def stepper(constraint: Constraint, size: str, side: int, batch: int) -> Callable[[], None]:
    """One whole training step: forward, loss, backward, optimizer, retraction."""
    torch.manual_seed(0)
    network = build_network(NetworkConfig(CLASSES, size=size, constraint=constraint))
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3, weight_decay=1e-4)
    layers = [m for m in network.modules() if isinstance(m, OrthogonalConv2d)]
    images = torch.rand(batch, 3, side, side)
    labels = torch.randint(0, CLASSES, (batch, side, side))

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        temperature_cross_entropy(network(images), labels, 40.0).backward()
        optimizer.step()
        for layer in layers:
            layer.retract_()

    return step


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", default="S")
    parser.add_argument("--imgsz", type=int, default=128)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    constraints: tuple[Constraint, ...] = ("none", "orthogonal")
    shape = (options.size, options.imgsz, options.batch)
    steppers = {constraint: stepper(constraint, *shape) for constraint in constraints}
    times: dict[str, list[float]] = {constraint: [] for constraint in constraints}
    for _ in range(options.rounds + 1):
        for constraint, step in steppers.items():
            start = time.process_time()
            step()
            times[constraint].append(time.process_time() - start)
    medians = {constraint: statistics.median(values[1:]) for constraint, values in times.items()}
    for constraint, value in medians.items():
        print(f"{constraint:12} {value:6.3f} s a step   {value / medians['none']:5.2f} x none")


if __name__ == "__main__":
    main()
