"""Learning rate, manifold steps and the moving average, against torch and closed forms."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from lipdeploy.core.errors import InputError
from lipdeploy.core.operator_norm import convolution_norm_bound
from lipdeploy.training.averaging import Average
from lipdeploy.training.layers import OrthogonalConv2d, Unit, polar_factor
from lipdeploy.training.manifold_adam import ManifoldAdam, tangent
from lipdeploy.training.optimizer import build_optimizer
from lipdeploy.training.schedule import learning_rate_at


def test_the_cosine_is_that_of_torch() -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 0.3)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 20, 1e-3)
    for step in range(20):
        assert learning_rate_at(step, 20, 0, 0.3, 1e-3) == pytest.approx(
            optimizer.param_groups[0]["lr"], rel=1e-9
        )
        optimizer.step()
        theirs.step()


def test_the_warm_up_is_linear_and_meets_the_peak() -> None:
    rates = [learning_rate_at(step, 20, 4, 1.0, 0.0) for step in range(20)]
    assert rates[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert all(a > b for a, b in pairwise(rates[4:]))
    assert 0 < rates[-1] < 0.05


@pytest.mark.parametrize("shape", [(2, 6, 3), (2, 3, 6), (4, 4)])
def test_tangent_directions_keep_orthonormality_to_first_order(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    left, _, right = torch.linalg.svd(torch.randn(shape).double(), full_matrices=False)
    matrix = left @ right
    direction = tangent(matrix, torch.randn_like(matrix))

    def defect(step: float) -> float:
        moved = matrix + step * direction
        gram = moved.mT @ moved if shape[-2] >= shape[-1] else moved @ moved.mT
        return float((gram - torch.eye(gram.shape[-1], dtype=torch.float64)).norm())

    assert defect(1e-3) < 1.1e-2 * defect(1e-2) + 1e-9
    assert torch.allclose(tangent(matrix, direction), direction, atol=1e-9)


def test_manifold_adam_finds_the_nearest_rotation() -> None:
    """Procrustes: the orthonormal Q nearest to A is its polar factor, known from the SVD."""
    torch.manual_seed(0)
    target = torch.randn(6, 3, dtype=torch.float64)
    left, _, right = torch.linalg.svd(target, full_matrices=False)
    point = nn.Parameter(polar_factor(torch.randn(6, 3, dtype=torch.float64)))
    optimizer = ManifoldAdam([point], [], 0.05, 0.0)
    for step in range(600):
        optimizer.param_groups[0]["lr"] = 0.05 * (1 - step / 600)
        optimizer.zero_grad()
        (point - target).square().sum().backward()
        optimizer.step()
        with torch.no_grad():
            point.copy_(polar_factor(point))
    assert torch.allclose(point, left @ right, atol=1e-4)


def test_manifold_adam_is_adamw_for_all_other_parameters() -> None:
    torch.manual_seed(0)
    ours, theirs = (nn.Parameter(torch.ones(4)) for _ in range(2))
    held = nn.Parameter(torch.eye(3))
    pair = (
        ManifoldAdam([held], [ours], 0.1, 0.2),
        torch.optim.AdamW([theirs], 0.1, weight_decay=0.2),
    )
    for _ in range(3):
        for parameter, optimizer in zip((ours, theirs), pair, strict=True):
            parameter.grad = torch.tensor([1.0, -2.0, 0.5, 0.0])
            optimizer.step()
    assert torch.equal(ours, theirs)
    assert torch.equal(held, torch.eye(3))


def test_optimizers_by_name_hold_every_parameter_once() -> None:
    network = nn.Sequential(Unit(4, 4), Unit(4, 2, 1, normalize=False))
    for name in ("adamw", "manifold-adam"):
        groups = build_optimizer(name, network, 1e-3, 0.1).param_groups
        held = [p for group in groups for p in group["params"]]
        assert {id(p) for p in held} == {id(p) for p in network.parameters()}
        assert len(held) == len(list(network.parameters()))
    decays = [group["weight_decay"] for group in groups]
    assert decays == [0.0, 0.1]
    with pytest.raises(InputError, match="optimizer is 'sgd'; expected adamw, manifold-adam"):
        build_optimizer("sgd", network, 1e-3, 0.1)


def walk(network: nn.Module, steps: int) -> list[dict[str, Tensor]]:
    """Random states, as if trained."""
    states = []
    for _ in range(steps):
        with torch.no_grad():
            for value in network.state_dict().values():
                value.add_(0.1 * torch.randn_like(value))
        states.append({k: v.clone() for k, v in network.state_dict().items()})
    return states


def test_the_average_is_the_weighted_mean_of_parameters_and_running_means() -> None:
    torch.manual_seed(0)
    network = Unit(4, 4)
    start = {k: v.clone() for k, v in network.state_dict().items()}
    average = Average(network, 0.6)
    expected = {k: v.double() for k, v in start.items()}
    for step in (1, 2, 9, 10):
        (state,) = walk(network, 1)
        average.update(network, step)
        decay = min(0.6, (1 + step) / (10 + step))
        expected = {k: decay * expected[k] + (1 - decay) * state[k] for k in expected}
    assert {"conv.mixing", "conv.bases", "norm.bias", "norm.running_mean"} == set(expected)
    for key, value in average.state().items():
        assert torch.allclose(value.double(), expected[key], atol=1e-6)


def test_the_averaged_network_is_orthogonal_and_the_original_untouched() -> None:
    torch.manual_seed(0)
    network = Unit(8, 8)
    average = Average(network, 0.9)
    for step in range(1, 40):
        walk(network, 1)
        network.conv.retract_()  # type: ignore[operator]
        average.update(network, step)
    before = {k: v.clone() for k, v in network.state_dict().items()}
    averaged = average.network(network)
    layer = averaged.conv
    assert isinstance(layer, OrthogonalConv2d)
    kernel = layer.weight().detach()
    assert 1 - 1e-4 <= convolution_norm_bound(kernel.numpy()) <= 1 + 1e-5
    for matrix in layer.orthonormal():
        tall = matrix if matrix.shape[-2] >= matrix.shape[-1] else matrix.mT
        gram = (tall.mT @ tall).detach()
        assert torch.allclose(gram, torch.eye(gram.shape[-1]).expand_as(gram), atol=1e-4)
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())


def test_the_average_forgets_nothing_over_a_resume() -> None:
    torch.manual_seed(0)
    network = Unit(4, 4)
    average = Average(network, 0.9)
    walk(network, 1)
    average.update(network, 1)
    again = Average(Unit(4, 4), 0.9)
    again.load({k: v.clone() for k, v in average.state().items()})
    walk(network, 1)
    for one in (average, again):
        one.update(network, 2)
    assert all(torch.equal(v, again.state()[k]) for k, v in average.state().items())
