"""What every process of `test_distributed.py` runs: two runs in float64, their ends written down.

torchrun --nproc-per-node 2 -m tests.training.train_in_ranks DATA FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import Tensor, nn

from lipdeploy.core.dataset import load_dataset
from lipdeploy.training.distributed import process_group, ranks
from lipdeploy.training.loop import Trainer
from tests.training.toy_data import toy_settings

CASES: dict[str, dict[str, object]] = {
    "even": {"batch": 4, "ema": 0.0},
    "uneven": {"batch": 5, "ema": 0.0, "accumulate": 2, "clip": 0.1, "weight_decay": 0.1},
}


def loss_in_float64(logits: Tensor, labels: Tensor) -> Tensor:
    """The loss of the package computes in float32, which would hide what is looked for."""
    return nn.functional.cross_entropy(10 * logits, labels, ignore_index=255)


def train(data: Path, folder: Path, case: str) -> tuple[dict[str, Tensor], list[float]]:
    """Train one case and return the state of the network and the losses."""
    trainer = Trainer(toy_settings(data, folder / case, **CASES[case]), load_dataset(data))
    trainer.network.double()
    trainer.update.loss = loss_in_float64
    losses: list[float] = []

    def report(step: object) -> bool:
        losses.append(step.loss)  # type: ignore[attr-defined]
        return True

    trainer.run(report)
    return trainer.network.state_dict(), losses


def main() -> None:
    """Run every case and save what this process ends with."""
    data, folder = Path(sys.argv[1]), Path(sys.argv[2])
    torch.set_num_threads(1)
    with process_group(torch.device("cpu")):
        for case in CASES:
            ends = train(data, folder, case)
            torch.save(ends, folder / f"{case}{ranks()[0]}.pt")


if __name__ == "__main__":
    main()
