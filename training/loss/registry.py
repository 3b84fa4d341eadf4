"""Losses by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor

from lipdeploy.core.errors import InputError
from lipdeploy.training.loss.certificate import level_cross_entropy, level_dual, level_hinge
from lipdeploy.training.loss.cosine import cosine
from lipdeploy.training.loss.cross_entropy import cross_entropy
from lipdeploy.training.loss.hinge_kr import hinge_kr, min_margin_for
from lipdeploy.training.loss.logit_annealing import logit_annealing
from lipdeploy.training.loss.pixels import Pixels

Loss = Callable[[Tensor, Tensor], Tensor]
PixelLoss = Callable[[Pixels, float, float], Tensor]

_LOSSES: dict[str, PixelLoss] = {
    "cross-entropy": lambda pixels, tau, _: cross_entropy(pixels, tau),
    "hkr": lambda pixels, tau, _: hinge_kr(pixels, min_margin_for(tau)),
    "cosine": lambda pixels, _, __: cosine(pixels),
    "certificate": lambda pixels, _, eps: level_cross_entropy(pixels, eps),
    "logit-annealing": lambda pixels, tau, _: logit_annealing(pixels, tau),
}
_CANDIDATES: dict[str, PixelLoss] = {
    "certificate-a": _LOSSES["certificate"],
    "certificate-b": lambda pixels, _, eps: level_hinge(pixels, eps),
    "certificate-c": lambda pixels, _, eps: level_dual(pixels, eps),
}
LOSSES = tuple(_LOSSES)


def build_loss(
    name: str,
    *,
    temperature: float,
    eps: float,
    class_weights: Sequence[float] | Tensor | None = None,
) -> Loss:
    """The loss of that name: logits (N, K, H, W) and labels (N, H, W) to a scalar.

    Margins count in units of 1 / temperature (of the water level in `certificate`), so that all
    losses are plain numbers of order 1 and cross-entropy is in nats. Pixels labelled 255 are left
    out; a batch without others has loss 0 and no gradient. float32 under autocast.

    Args:
        name: one of `LOSSES`.
        temperature: of all losses but `cosine` and `certificate`; higher is more accurate and less
            robust.
        eps: target l2 budget of `certificate`.
        class_weights: weight of the pixels of each class, K numbers; equal if not given.

    Raises:
        InputError: there is no such loss.
    """
    pixel_loss = {**_LOSSES, **_CANDIDATES}.get(name)
    if pixel_loss is None:
        raise InputError(f"loss is {name!r}; expected one of: {', '.join(LOSSES)}")

    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        pixels = Pixels.of(logits, labels)
        return pixels.mean(pixel_loss(pixels, temperature, eps), class_weights)

    return loss
