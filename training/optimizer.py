"""The optimizers by name."""

from __future__ import annotations

import torch
from torch import nn

from lipdeploy.core.errors import InputError
from lipdeploy.training.layers import parametrised
from lipdeploy.training.manifold_adam import ManifoldAdam

OPTIMIZERS = ("adamw", "manifold-adam")


def build_optimizer(
    name: str, network: nn.Module, learning_rate: float, weight_decay: float
) -> torch.optim.Optimizer:
    """Optimizer of all parameters of the network.

    Raises:
        InputError: an unknown name.
    """
    if name == "adamw":
        return torch.optim.AdamW(network.parameters(), learning_rate, weight_decay=weight_decay)
    if name == "manifold-adam":
        held = [p for layer in parametrised(network) for p in layer.orthonormal()]
        known = {id(p) for p in held}
        others = [p for p in network.parameters() if id(p) not in known]
        return ManifoldAdam(held, others, learning_rate, weight_decay)
    raise InputError(f"optimizer is {name!r}; expected {', '.join(OPTIMIZERS)}")
