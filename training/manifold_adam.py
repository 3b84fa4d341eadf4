"""Adam that moves orthonormal matrices along their manifold."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor


class ManifoldAdam(torch.optim.AdamW):
    """AdamW whose steps and momentum are tangent to the orthonormal matrices.

    Dividing by the second moment element by element turns a tangent step into one that is not;
    the part across the manifold is lost in the retraction and lowers the step that is left. Here
    gradient, step and first moment are projected, and weight decay, which only shrinks what the
    retraction stretches again, is off for these parameters. The caller retracts after each step.

    Args:
        orthonormal: parameters kept orthonormal, each (..., R, C).
        others: all other parameters, which get plain AdamW.
        lr: learning rate.
        weight_decay: of the others.

    Source: Absil, Mahony and Sepulchre 2008, Sec. 3.6 (projection); Bécigneul and Ganea 2019
    (adaptive steps on manifolds); after the manifold optimisation of LipNeXt.
    """

    def __init__(
        self,
        orthonormal: Iterable[Tensor],
        others: Iterable[Tensor],
        lr: float,
        weight_decay: float,
    ) -> None:
        held, free = list(orthonormal), list(others)
        groups: list[dict[str, Any]] = [
            {"params": held, "weight_decay": 0.0},
            {"params": free},
        ]
        super().__init__([g for g in groups if g["params"]], lr, weight_decay=weight_decay)
        self._held = held

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> Any:
        """Take one step; the orthonormal parameters move along their tangent space."""
        starts = [parameter.clone() for parameter in self._held]
        for parameter in self._held:
            if parameter.grad is not None:
                parameter.grad.copy_(tangent(parameter, parameter.grad))
        loss = super().step(closure)
        for parameter, start in zip(self._held, starts, strict=True):
            parameter.copy_(start + tangent(start, parameter - start))
            if parameter in self.state:
                moment = self.state[parameter]["exp_avg"]
                moment.copy_(tangent(parameter, moment))
        return loss


def tangent(matrix: Tensor, direction: Tensor) -> Tensor:
    """Project a direction on the tangent space of the orthonormal matrices at `matrix`.

    Shape: both (..., R, C), also the result.
    """
    if matrix.shape[-2] < matrix.shape[-1]:
        return tangent(matrix.mT, direction.mT).mT
    product = matrix.mT @ direction
    return direction - 0.5 * matrix @ (product + product.mT)
