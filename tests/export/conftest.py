"""A network that looks trained, and its exported file."""

from pathlib import Path

import pytest
import torch

from lipdeploy.export.exporter import Request, export
from lipdeploy.training.checkpoint import Checkpoint
from lipdeploy.training.layers import BatchCentering2d, OrthogonalConv2d
from lipdeploy.training.layers.unit import Constraint
from lipdeploy.training.network import NetworkConfig, SegmentationNetwork, build_network


def trained_like(classes: int, constraint: Constraint = "orthogonal") -> SegmentationNetwork:
    """Parameters away from their start, centering away from zero."""
    torch.manual_seed(0)
    network = build_network(NetworkConfig(classes, constraint=constraint)).eval()
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, BatchCentering2d):
                module.running_mean.normal_(0, 0.03)
                module.bias.normal_(0, 0.03)
            if isinstance(module, OrthogonalConv2d):
                module.mixing.add_(0.05 * torch.randn_like(module.mixing))
    return network


def checkpoint(classes: int, constraint: Constraint = "orthogonal", size: str = "S") -> Checkpoint:
    """A checkpoint of `trained_like`, trained at 64x64."""
    names = tuple(f"class {k}" for k in range(classes))
    return Checkpoint(trained_like(classes, constraint), names, (64, 64), {}, {}, {})


def export_to(
    target: Path,
    height: int,
    width: int,
    head: str = "threshold",
    budgets: int = 1,
    logits: bool = False,
) -> Path:
    """Export a 3-class network with a short parity measurement (level none)."""
    request = Request(height, width, head, budgets, logits, frames=24)
    export(checkpoint(3), target, request, lambda _: None)
    return target


@pytest.fixture(scope="session")
def model_64(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file for 64x64 frames with two budgets."""
    return export_to(tmp_path_factory.mktemp("model") / "m64.onnx", 64, 64, budgets=2)
