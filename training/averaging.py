"""An exponential moving average of the network, kept 1-Lipschitz by its parametrisation."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from lipdeploy.training.layers import parametrised


class Average:
    """Moving average of parameters and running means of a network.

    The *parameters* are averaged, not the kernels: a mean of orthogonal kernels is not orthogonal,
    whereas the kernel of averaged parameters goes through the same parametrisation as any other.

    Args:
        network: what is averaged; the average starts at its present state.
        decay: weight of the past, 0 < decay < 1; less in the first steps, (1 + t) / (10 + t), so
            that the start is forgotten.

    Source: Polyak and Juditsky 1992; the warm-up is TensorFlow's.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self._state = {k: v.detach().clone() for k, v in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Move towards the network after step `step`, counted from 1."""
        weight = 1 - min(self.decay, (1 + step) / (10 + step))
        for key, value in network.state_dict().items():
            if value.is_floating_point():
                self._state[key].lerp_(value, weight)
            else:
                self._state[key].copy_(value)

    def network(self, template: nn.Module) -> nn.Module:
        """The averaged network, its orthonormal parameters retracted; `template` is not changed."""
        averaged = copy.deepcopy(template)
        averaged.load_state_dict(self._state)
        for layer in parametrised(averaged):
            layer.retract_()
        return averaged

    def state(self) -> dict[str, Tensor]:
        """What a resumed run needs, unretracted."""
        return dict(self._state)

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Inverse of `state`."""
        for key, value in state.items():
            self._state[key].copy_(value)
