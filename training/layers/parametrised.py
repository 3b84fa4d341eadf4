"""Convolutions whose kernel is computed from parameters, and how to compute it once a step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from lipdeploy.training.layers.polar import polar_factor


class ParametrisedConv(nn.Module):
    """Base of the layers whose kernel is `weight()`, a stateless function of the parameters.

    A subclass calls `kernel_once()` where its forward pass needs the kernel. It may keep some of
    its parameters orthonormal: `orthonormal()` names them, `retract_()` moves them back.
    """

    def __init__(self) -> None:
        super().__init__()
        self.held: Tensor | None = None

    def weight(self) -> Tensor:
        """Compute the kernel from the parameters, in their precision also under autocast."""
        raise NotImplementedError(f"{type(self).__name__} defines no kernel")

    def kernel_once(self) -> Tensor:
        """The kernel that `kernels_held` computed; outside of it, `weight()`."""
        return self.weight() if self.held is None else self.held

    def orthonormal(self) -> Sequence[Tensor]:
        """Parameters that are kept orthonormal, each (..., R, C); none unless overridden."""
        return ()

    @torch.no_grad()
    def retract_(self) -> None:
        """Move the orthonormal parameters back to orthonormal matrices; the kernel stays."""
        for parameter in self.orthonormal():
            parameter.copy_(polar_factor(parameter))


def parametrised(network: nn.Module) -> list[ParametrisedConv]:
    """Every layer of the network whose kernel is computed, each once."""
    return [module for module in network.modules() if isinstance(module, ParametrisedConv)]


@contextmanager
def kernels_held(network: nn.Module) -> Iterator[None]:
    """Compute every parametrised kernel once for all forward passes inside the block.

    Backward passes inside the block gather the gradients of the kernels; on leaving, the sum goes
    through the parametrisation, once. It is linear in that gradient, so the parameters get what
    they would have got from as many passes through it. Parameters must not change inside.
    """
    layers = parametrised(network)
    kernels = [layer.weight() for layer in layers]
    for layer, kernel in zip(layers, kernels, strict=True):
        layer.held = kernel.detach().requires_grad_(kernel.requires_grad)
    try:
        yield
        _pass_on([layer.held for layer in layers], kernels)
    finally:
        for layer in layers:
            layer.held = None


def _pass_on(held: Sequence[Tensor | None], kernels: Sequence[Tensor]) -> None:
    """Send the gradients of the held kernels through the parametrisation."""
    used = [
        (kernel, leaf.grad)
        for leaf, kernel in zip(held, kernels, strict=True)
        if leaf is not None and leaf.grad is not None
    ]
    if used:
        torch.autograd.backward([kernel for kernel, _ in used], [grad for _, grad in used])
