"""The water level against the certificate itself."""

import math

import numpy as np
import pytest
import torch

from lipdeploy.core.certificate import count_flips
from lipdeploy.core.objectives import correct_radii
from lipdeploy.core.radius import margin_from_logits, radius_from_margin
from lipdeploy.training.loss.pixels import Pixels
from lipdeploy.training.loss.water_level import water_level


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("eps", [0.01, 0.1, 0.25, 1.0, 50.0])
def test_level_bounds_the_count_of_the_certificate(seed: int, eps: float) -> None:
    """The knapsack's dual at the level is the count and the paid fraction of one more pixel."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 10 ** rng.uniform(-3, 0), (1, 3, 9, 11))
    truth = np.where(rng.random((9, 11)) < 0.8, logits[0].argmax(0), rng.integers(0, 3, (9, 11)))
    known = rng.random((9, 11)) < 0.9
    labels = torch.from_numpy(np.where(known, truth, 255))[None]
    level = float(water_level(Pixels.of(torch.from_numpy(logits), labels), eps)[0])
    radius = radius_from_margin(margin_from_logits(logits[0]), 1.0)
    right = correct_radii(radius, logits[0].argmax(0), truth)[known]
    flips = int(count_flips(right, eps))
    if flips == right.size:
        assert level == pytest.approx(right.max())
        return
    assert np.sort(right)[flips] == pytest.approx(level)
    dual = (eps / level) ** 2 + np.maximum(0, 1 - (right / level) ** 2).sum()
    assert flips <= dual + 1e-9
    assert dual < flips + 1


def test_other_levels_promise_no_fewer_flips() -> None:
    rng = np.random.default_rng(0)
    logits = torch.from_numpy(rng.normal(0, 0.1, (1, 2, 16, 16)))
    labels = logits.argmax(1)
    level = float(water_level(Pixels.of(logits, labels), 0.25)[0])
    radius = (logits.max(1).values - logits.min(1).values).numpy().ravel() / math.sqrt(2)

    def dual(at: float) -> float:
        return float((0.25 / at) ** 2 + np.maximum(0, 1 - (radius / at) ** 2).sum())

    assert dual(level) == pytest.approx(min(dual(at) for at in np.linspace(0.01, 1, 400)), rel=1e-2)
    assert all(dual(level) <= dual(at) + 1e-9 for at in np.linspace(0.01, 1, 400))


def test_more_budget_raises_the_level() -> None:
    logits = torch.randn(3, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    pixels = Pixels.of(logits, logits.argmax(1))
    levels = [water_level(pixels, eps) for eps in (0.1, 0.5, 2.0)]
    assert (levels[0] < levels[1]).all()
    assert (levels[1] < levels[2]).all()


def test_the_level_carries_no_gradient() -> None:
    logits = torch.randn(1, 3, 4, 4, requires_grad=True)
    assert not water_level(Pixels.of(logits, torch.zeros(1, 4, 4)), 0.25).requires_grad
