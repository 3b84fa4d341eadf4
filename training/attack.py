"""Projected gradient attacks in the l2 ball: the empirical side of every certificate."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

Objective = Callable[[Tensor, Tensor], Tensor]


def margins(logits: Tensor, labels: Tensor) -> Tensor:
    """Logit of the label minus the largest other: (N, K, H, W), (N, H, W) to (N, H, W)."""
    own = logits.gather(1, labels[:, None])
    others = logits.scatter(1, labels[:, None], -torch.inf).amax(1)
    margin: Tensor = own[:, 0] - others
    return margin


def cross_entropy_objective(temperature: float) -> Objective:
    """Mean cross-entropy of temperature * logits: raw logits of a Lipschitz network saturate it."""

    def objective(logits: Tensor, labels: Tensor) -> Tensor:
        return nn.functional.cross_entropy(temperature * logits, labels)

    return objective


def cheapest_pixels_objective(eps: float) -> Objective:
    """Hinge on the pixels whose margin a budget of `eps` could still pay for."""

    def objective(logits: Tensor, labels: Tensor) -> Tensor:
        margin = margins(logits, labels)
        reachable = margin.detach() < 2.0 * eps / margin[0].numel() ** 0.25
        loss: Tensor = -(margin.clamp_min(-0.01) * reachable).sum()
        return loss

    return objective


def l2_attack(
    network: Callable[[Tensor], Tensor],
    images: Tensor,
    labels: Tensor,
    eps: float,
    objective: Objective,
    steps: int = 50,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Maximise an objective by normalised gradient steps inside the l2 ball and [0, 1].

    Args:
        network: images (N, 3, H, W) in [0, 1] to logits (N, K, H, W), in evaluation mode.
        images: starting points.
        labels: predictions or ground truth that the objective moves away from, (N, H, W).
        eps: radius of the ball around each image.
        objective: larger is better for the attacker.
        steps: gradient steps, with a step size that decays to a tenth.
        generator: of the random start; without one the attack starts at the image.

    Returns:
        Adversarial images, finite, in [0, 1], each within `eps` of its start.
    """
    delta = torch.zeros_like(images)
    if generator is not None:
        noise = torch.randn(images.shape, generator=generator, dtype=images.dtype)
        delta = _projected(noise.to(images.device), images, eps)
    for step in range(steps):
        delta.requires_grad_(True)
        value = objective(network(images + delta), labels)
        (gradient,) = torch.autograd.grad(value, delta)
        scale = gradient.flatten(1).norm(dim=1).clamp_min(1e-20).view(-1, 1, 1, 1)
        rate = eps * 0.25 * (1.0 - 0.9 * step / max(steps - 1, 1))
        delta = _projected(delta.detach() + rate * gradient / scale, images, eps)
    attacked = images + delta
    if not bool(attacked.isfinite().all()):
        raise FloatingPointError("the attack produced values that are not finite")
    return attacked


def _projected(delta: Tensor, images: Tensor, eps: float) -> Tensor:
    """Clip to [0, 1], then shrink into the ball: shrinking towards the image stays in [0, 1]."""
    inside = (images + delta).clamp(0, 1) - images
    norm = inside.flatten(1).norm(dim=1).clamp_min(1e-20).view(-1, 1, 1, 1)
    projected: Tensor = inside * (eps / norm).clamp_max(1.0)
    return projected
