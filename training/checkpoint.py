"""Checkpoint files: plain tensors and numbers only, so they load without running any code."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from lipdeploy.core.errors import InputError
from lipdeploy.core.whole_file import whole_file
from lipdeploy.training.network import NetworkConfig, SegmentationNetwork, build_network

SCHEMA = 1


@dataclass(frozen=True)
class Checkpoint:
    """A network with what export and resume need to know.

    Attributes:
        network: in evaluation mode, on the CPU.
        class_names: one per class id.
        imgsz: training height and width in pixels.
        training: settings of the run, plain values.
        metrics: validation figures of these weights, plain values.
        progress: optimizer state and position of the run; empty in a checkpoint for export.
    """

    network: SegmentationNetwork
    class_names: tuple[str, ...]
    imgsz: tuple[int, int]
    training: dict[str, Any]
    metrics: dict[str, Any]
    progress: dict[str, Any]


def save_checkpoint(checkpoint: Checkpoint, path: Path) -> None:
    """Write a checkpoint; a crash leaves the previous file whole."""
    record = {
        "schema": SCHEMA,
        "config": dataclasses.asdict(checkpoint.network.config),
        "class_names": list(checkpoint.class_names),
        "imgsz": list(checkpoint.imgsz),
        "model": checkpoint.network.state_dict(),
        "training": checkpoint.training,
        "metrics": checkpoint.metrics,
        "progress": checkpoint.progress,
    }
    with whole_file(path) as partial:
        torch.save(record, partial)


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint with `weights_only=True`: no code in the file is executed.

    Raises:
        InputError: missing file, not a lipdeploy checkpoint, or one that would run code.
    """
    record = _record(path)
    try:
        network = build_network(NetworkConfig(**record["config"]))
        network.load_state_dict(record["model"])
        checkpoint = Checkpoint(
            network.eval(),
            tuple(record["class_names"]),
            (int(record["imgsz"][0]), int(record["imgsz"][1])),
            dict(record["training"]),
            dict(record["metrics"]),
            dict(record["progress"]),
        )
    except (KeyError, TypeError, ValueError, RuntimeError, IndexError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"checkpoint {path} does not fit its own record: {reason}") from error
    if not all(bool(p.isfinite().all()) for p in network.state_dict().values()):
        raise InputError(f"checkpoint {path} holds weights that are not finite; train again")
    return checkpoint


def _record(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise InputError(
            f"checkpoint {path} is not a file; expected a ckpt.pt of `lipdeploy train`"
        )
    try:
        record = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many types for foreign bytes
        raise InputError(
            f"checkpoint {path} is refused: it is no plain tensor file "
            f"({type(error).__name__}); expected a ckpt.pt of `lipdeploy train`"
        ) from error
    if not isinstance(record, dict) or record.get("schema") != SCHEMA:
        raise InputError(f"{path} is not a lipdeploy checkpoint of schema {SCHEMA}")
    return record
