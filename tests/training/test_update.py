"""One step: kernels once, parts of a batch, precision, clipping."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from lipdeploy.core.errors import ArtefactError, InputError
from lipdeploy.core.operator_norm import convolution_norm_bound
from lipdeploy.training.layers import OrthogonalConv2d, Unit, kernels_held, parametrised
from lipdeploy.training.network import NetworkConfig, build_network
from lipdeploy.training.precision import Precision
from lipdeploy.training.update import Update

CPU = torch.device("cpu")


def mean_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Torch's own mean, in the precision of the logits."""
    return nn.functional.cross_entropy(10 * logits, labels, ignore_index=255)


def small_network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(Unit(3, 8, stride=3), Unit(8, 8), Unit(8, 4, 1, normalize=False))


def batch(images: int = 6) -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    labels = torch.randint(0, 4, (images, 4, 4))
    for i in range(images):
        labels[i].view(-1)[:i] = 255
    return torch.rand(images, 3, 12, 12, dtype=torch.float64), labels


def updater(network: nn.Module, precision: str = "float32", **options: float) -> Update:
    optimizer = torch.optim.SGD(network.parameters(), 1.0)
    return Update(network, mean_loss, optimizer, Precision(precision, CPU), **options)  # type: ignore[arg-type]


def gradients(network: nn.Module) -> list[Tensor]:
    return [p.grad.clone() for p in network.parameters() if p.grad is not None]


def moved(network: nn.Module, images: Tensor) -> nn.Module:
    """The network in float64 with parameters off their manifold and centres off zero."""
    network = network.double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
        network(images)
    return network


def test_held_kernels_give_the_gradients_of_one_pass_a_part() -> None:
    images, labels = batch()
    network = moved(small_network(), images)
    for part, truth in zip(images.split(2), labels.split(2), strict=True):
        mean_loss(network(part), truth).backward()
    expected = gradients(network)
    network.zero_grad()
    with kernels_held(network):
        for part, truth in zip(images.split(2), labels.split(2), strict=True):
            mean_loss(network(part), truth).backward()
    for ours, theirs in zip(gradients(network), expected, strict=True):
        assert torch.allclose(ours, theirs, rtol=0, atol=1e-10)
    assert all(float(g.abs().max()) > 1e-6 for g in expected)


@pytest.mark.parametrize("mode", [True, False])
def test_a_kernel_is_computed_once_in_the_block(
    mode: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, _ = batch()
    network = small_network().double().train(mode)
    calls = 0
    real: Callable[[OrthogonalConv2d], Tensor] = OrthogonalConv2d.weight

    def counted(layer: OrthogonalConv2d) -> Tensor:
        nonlocal calls
        calls += 1
        return real(layer)

    monkeypatch.setattr(OrthogonalConv2d, "weight", counted)
    with torch.set_grad_enabled(mode), kernels_held(network):
        for part in images.split(2):
            network(part)
    assert calls == len(parametrised(network)) == 3
    assert all(layer.held is None for layer in parametrised(network))


def test_kernels_are_released_after_an_error() -> None:
    network = small_network()
    with pytest.raises(RuntimeError), kernels_held(network):
        network(torch.rand(1, 5, 12, 12))
    assert all(layer.held is None for layer in parametrised(network))


def test_a_compiled_unit_follows_the_held_kernel() -> None:
    torch.manual_seed(0)
    unit = Unit(4, 4).eval()
    x = torch.randn(2, 4, 8, 8)
    compiled = torch.compile(unit, fullgraph=True, backend="aot_eager")
    for _ in range(3):  # a kernel baked into the graph would be that of the first pass
        with torch.no_grad():
            unit.conv.mixing.add_(0.3 * torch.randn(4, 4))  # type: ignore[operator]
        expected = unit(x)
        with kernels_held(unit):
            assert torch.allclose(compiled(x), expected, atol=1e-6)
        assert torch.allclose(compiled(x), expected, atol=1e-6)
    unit.train()
    with kernels_held(unit):
        compiled(x).square().sum().backward()
    ours = unit.conv.mixing.grad
    unit.zero_grad()
    unit(x).square().sum().backward()
    assert isinstance(ours, Tensor)
    assert torch.allclose(ours, unit.conv.mixing.grad, atol=1e-4)  # type: ignore[arg-type]


def test_parts_weigh_as_many_pixels_as_they_have_labelled() -> None:
    """Without centering a batch in parts is the batch: an unequal number of known pixels each."""
    images, labels = batch()
    labels[2:4] = 255
    network = nn.Sequential(OrthogonalConv2d(3, 8, 3, 3), OrthogonalConv2d(8, 4, 1)).double()
    expected = mean_loss(network(images), labels)
    expected.backward()
    whole = gradients(network)
    step = updater(network, accumulate=3)
    assert step(images, labels) == pytest.approx(float(expected.detach()), rel=1e-12)
    for ours, theirs in zip(gradients(network), whole, strict=True):
        assert torch.allclose(ours, theirs, rtol=0, atol=1e-12)


def test_a_batch_without_any_label_moves_nothing_and_is_no_error() -> None:
    images, labels = batch()
    network = small_network().double()
    assert updater(network)(images, torch.full_like(labels, 255)) == 0
    assert all(not bool(g.any()) for g in gradients(network))


def test_clipping_bounds_the_norm_of_the_whole_gradient() -> None:
    images, labels = batch()
    network = small_network().double()
    updater(network, clip=1e-3)(images, labels)
    norm = torch.cat([g.flatten() for g in gradients(network)]).norm()
    assert float(norm) == pytest.approx(1e-3, rel=1e-3)


def test_bf16_leaves_kernels_centres_and_their_bounds_in_float32() -> None:
    images, labels = batch()
    network = small_network()
    seen: list[torch.dtype] = []
    network.register_forward_hook(lambda _m, _x, y: seen.append(y.dtype))
    step = updater(network, "bf16", accumulate=2)
    before = [layer.weight().detach() for layer in parametrised(network)]
    for _ in range(3):
        step(images.float(), labels)
    assert set(seen) == {torch.bfloat16}
    assert {p.dtype for p in network.state_dict().values()} == {torch.float32}
    assert {g.dtype for g in gradients(network)} == {torch.float32}
    for layer, start in zip(parametrised(network), before, strict=True):
        kernel = layer.weight().detach()
        assert isinstance(layer, OrthogonalConv2d)
        stride = (layer.stride, layer.stride)
        assert not torch.equal(kernel, start)
        assert convolution_norm_bound(kernel.numpy(), stride) <= 1 + 1e-5


def test_bf16_follows_float32_closely() -> None:
    images, labels = batch()
    runs = []
    for precision in ("float32", "bf16"):
        network = small_network()
        updater(network, precision)(images.float(), labels)
        runs.append(torch.cat([g.flatten() for g in gradients(network)]))
    assert float((runs[0] - runs[1]).norm() / runs[0].norm()) < 0.05


def test_precisions_that_cannot_be() -> None:
    with pytest.raises(ArtefactError, match="fp16 needs a GPU, the device is cpu; use --precision"):
        Precision("fp16", CPU)
    with pytest.raises(InputError, match="precision is 'int8'; expected float32, bf16, fp16"):
        Precision("int8", CPU)


def test_the_whole_network_takes_a_step_in_parts() -> None:
    torch.manual_seed(0)
    network = build_network(NetworkConfig(4))
    labels = torch.randint(0, 4, (4, 32, 32))
    assert 0 < updater(network, accumulate=2)(torch.rand(4, 3, 32, 32), labels) < 10
