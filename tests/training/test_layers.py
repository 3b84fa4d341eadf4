"""Layers against dense Jacobians, and our kernels against orthogonium's."""

import numpy as np
import pytest
import torch
from torch import Tensor

from lipdeploy.core.operator_norm import convolution_norm_bound
from lipdeploy.training.layers import (
    Adjoint2d,
    AolConv2d,
    BatchCentering2d,
    OrthogonalConv2d,
    Unit,
    kernel_of,
    max_min,
    polar_factor,
)

# channels in, channels out, kernel, stride, dilation, image side (odd and even)
SHAPES = [
    (4, 4, 3, 1, 1, 8),
    (4, 4, 3, 1, 1, 9),
    (3, 8, 3, 1, 1, 8),
    (8, 4, 3, 1, 2, 10),
    (4, 4, 3, 1, 4, 17),
    (4, 6, 3, 2, 1, 8),
    (4, 6, 3, 2, 1, 9),
    (3, 16, 3, 2, 1, 9),
    (6, 6, 5, 1, 1, 9),
    (8, 3, 1, 1, 1, 5),
    (4, 7, 1, 1, 1, 5),
]


def trained_like(layer: OrthogonalConv2d) -> OrthogonalConv2d:
    """Parameters well away from orthonormal matrices."""
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return layer


def jacobian(layer: torch.nn.Module, channels: int, side: int) -> np.ndarray:
    basis = torch.eye(channels * side * side, dtype=torch.float64).view(-1, channels, side, side)
    image: Tensor = layer(basis)
    return image.detach().flatten(1).T.numpy()


@pytest.mark.parametrize(("cin", "cout", "kernel", "stride", "dilation", "side"), SHAPES)
def test_norm_is_bounded_and_the_bound_is_tight(
    cin: int, cout: int, kernel: int, stride: int, dilation: int, side: int
) -> None:
    torch.manual_seed(0)
    layer = trained_like(OrthogonalConv2d(cin, cout, kernel, stride, dilation)).double()
    true = float(np.linalg.norm(jacobian(layer, cin, side), 2))
    weight = layer.weight().detach().numpy()
    bound = convolution_norm_bound(weight, (stride, stride), (dilation, dilation))
    assert true <= bound <= true + 1e-3
    assert bound <= 1 + 1e-5


@pytest.mark.parametrize(("cin", "cout", "kernel", "stride", "dilation", "side"), SHAPES)
def test_rescaled_kernel_of_any_parameters_is_bounded(
    cin: int, cout: int, kernel: int, stride: int, dilation: int, side: int
) -> None:
    torch.manual_seed(0)
    layer = AolConv2d(cin, cout, kernel, stride, dilation).double()
    if cout >= cin * stride**2:  # P^T P = 1 at the start, which needs no rescaling
        assert float(np.linalg.norm(jacobian(layer, cin, side), 2)) > 0.9
    for _ in range(3):
        with torch.no_grad():
            layer.free.copy_(torch.randn_like(layer.free))
        assert float(np.linalg.norm(jacobian(layer, cin, side), 2)) <= 1 + 1e-9
    with torch.no_grad():
        layer.free.zero_()
    assert layer.weight().isfinite().all()


@pytest.mark.parametrize("kind", [OrthogonalConv2d, AolConv2d])
@pytest.mark.parametrize("side", [4, 7])
def test_upsampling_is_the_adjoint(kind: type[OrthogonalConv2d], side: int) -> None:
    """Inner products agree: the dense matrix is the transpose of that of the convolution."""
    torch.manual_seed(0)
    down = kind(4, 6, 3, stride=2).double()
    forward = jacobian(down, 4, 2 * side)
    backward = jacobian(Adjoint2d(down), 6, side)
    assert np.allclose(backward, forward.T, atol=1e-12)


def test_adjoint_of_a_plain_convolution_is_torchs_transposed_one() -> None:
    torch.manual_seed(0)
    down = torch.nn.Conv2d(4, 6, 3, 2, 1, bias=False)
    up = torch.nn.ConvTranspose2d(6, 4, 3, 2, 1, output_padding=1, bias=False)
    up.load_state_dict(down.state_dict())
    x = torch.randn(2, 6, 5, 5)
    assert torch.allclose(Adjoint2d(down)(x), up(x), atol=1e-6)
    assert kernel_of(down) is down.weight


def test_stored_float32_kernel_is_bounded_too() -> None:
    torch.manual_seed(1)
    weight = trained_like(OrthogonalConv2d(32, 32)).weight().detach().numpy()
    assert 1 - 1e-4 <= convolution_norm_bound(weight) <= 1 + 1e-5


def test_orthonormality_of_the_polar_factor_and_norm_when_it_has_not_converged() -> None:
    torch.manual_seed(0)
    tall = torch.randn(3, 9, 4, dtype=torch.float64)
    factor = polar_factor(tall)
    left, _, right = torch.linalg.svd(tall, full_matrices=False)
    assert torch.allclose(factor, left @ right, atol=1e-5)
    ill = torch.diag(torch.tensor([1.0, 1e-9, 0.0], dtype=torch.float64))
    assert torch.linalg.matrix_norm(polar_factor(ill), 2) <= 1 + 1e-12


@pytest.mark.parametrize("shape", [(2, 6, 3), (2, 3, 6), (1, 4, 4)])
def test_gradient_of_the_polar_factor_at_an_orthonormal_matrix(shape: tuple[int, int, int]) -> None:
    torch.manual_seed(2)
    start = torch.linalg.svd(torch.randn(shape, dtype=torch.float64), full_matrices=False)
    matrix = start[0] @ start[2]
    direction, probe = torch.randn_like(matrix), torch.randn_like(matrix)
    step = 1e-6
    moved = [polar_factor(matrix + s * step * direction) for s in (1, -1)]
    numeric = float(((moved[0] - moved[1]) * probe).sum() / (2 * step))
    matrix.requires_grad_(True)
    (gradient,) = torch.autograd.grad((polar_factor(matrix) * probe).sum(), matrix)
    assert float((gradient * direction).sum()) == pytest.approx(numeric, rel=1e-5, abs=1e-7)


def test_retraction_keeps_the_kernel() -> None:
    torch.manual_seed(3)
    layer = trained_like(OrthogonalConv2d(4, 8)).double()
    before = layer.weight().detach()
    layer.retract_()
    assert torch.allclose(layer.weight(), before, atol=1e-6)


def test_kernel_is_stateless_and_float32_under_autocast() -> None:
    layer = OrthogonalConv2d(4, 4)
    state = {k: v.clone() for k, v in layer.state_dict().items()}
    with torch.autocast("cpu", torch.bfloat16):
        weight = layer.weight()
    layer.eval()
    assert weight.dtype == torch.float32
    assert torch.equal(weight, layer.weight())
    assert all(torch.equal(v, state[k]) for k, v in layer.state_dict().items())


def test_same_class_of_kernels_as_orthogonium() -> None:
    """An independent implementation: both preserve the norm of an interior image exactly."""
    orthogonium = pytest.importorskip("orthogonium.layers.conv.AOC")
    torch.manual_seed(0)
    theirs = orthogonium.AdaptiveOrthoConv2d(8, 8, 3, padding=1, padding_mode="zeros", bias=False)
    image = torch.zeros(1, 8, 12, 12)
    image[..., 4:8, 4:8] = torch.randn(8, 4, 4)
    for layer in (OrthogonalConv2d(8, 8), theirs.eval()):
        with torch.no_grad():
            assert float(layer(image).norm()) == pytest.approx(float(image.norm()), rel=1e-4)


def test_max_min_values_and_gradients_match_torch() -> None:
    torch.manual_seed(0)
    a = torch.randn(5, 4, requires_grad=True)
    b = torch.randn(5, 4, requires_grad=True)
    probe = torch.randn(2, 5, 4)
    ours = torch.autograd.grad((torch.stack(max_min(a, b)) * probe).sum(), (a, b))
    both = torch.stack((torch.maximum(a, b), torch.minimum(a, b)))
    theirs = torch.autograd.grad((both * probe).sum(), (a, b))
    assert all(torch.equal(x, y) for x, y in zip(ours, theirs, strict=True))


def test_centering_is_a_translation_in_evaluation() -> None:
    torch.manual_seed(0)
    layer = BatchCentering2d(3, momentum=1.0)
    x = torch.randn(4, 3, 5, 5) + 7
    assert layer(x).mean((0, 2, 3)).abs().max() < 1e-5
    layer.eval()
    y = torch.randn(1, 3, 5, 5)
    assert torch.allclose(layer(y), y + layer.shift().view(1, 3, 1, 1))


def test_unit_compiles_without_graph_breaks() -> None:
    unit = Unit(4, 4)
    x = torch.randn(2, 4, 8, 8)
    compiled = torch.compile(unit, fullgraph=True, backend="aot_eager")
    unit.eval()
    assert torch.allclose(compiled(x), unit(x), atol=1e-6)
    unit.train()
    compiled(x).sum().backward()
    assert unit.conv.mixing.grad is not None


@pytest.mark.parametrize(("kernel", "stride"), [(2, 1), (1, 2), (4, 2)])
def test_kernels_that_cannot_be_orthogonal_are_refused(kernel: int, stride: int) -> None:
    with pytest.raises(ValueError, match="expected an odd kernel >= stride"):
        OrthogonalConv2d(4, 4, kernel, stride)


@pytest.mark.parametrize("kind", [OrthogonalConv2d, AolConv2d])
def test_a_stride_together_with_a_dilation_is_refused(kind: type[OrthogonalConv2d]) -> None:
    """All taps of a 3x3 kernel would fall on one of the grids that the proof keeps apart."""
    with pytest.raises(ValueError, match="stride 2 with dilation 2"):
        kind(8, 16, 3, stride=2, dilation=2)
