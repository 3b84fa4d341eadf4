"""Bounds against the singular values of the dense Jacobian."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lipdeploy.core.matrix_norm import at_most, largest_eigenvalue_bound
from lipdeploy.core.operator_norm import (
    convolution_norm_bound,
    convolution_norm_estimate,
    matrix_norm_bound,
)


def dense_norm(
    kernel: np.ndarray, size: int, stride: int, dilation: int, padding: int, groups: int
) -> float:
    channels = kernel.shape[1] * groups
    basis = torch.eye(channels * size * size, dtype=torch.float64).view(-1, channels, size, size)
    image = torch.nn.functional.conv2d(
        basis, torch.from_numpy(kernel), None, stride, padding, dilation, groups
    )
    return float(np.linalg.norm(image.flatten(1).numpy(), 2))


@settings(max_examples=120, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    out=st.integers(1, 4),
    inside=st.integers(1, 4),
    taps=st.integers(1, 4),
    stride=st.integers(1, 3),
    dilation=st.integers(1, 3),
    padding=st.integers(0, 3),
    size=st.integers(4, 9),
    groups=st.integers(1, 2),
)
def test_never_below_the_true_norm(
    seed: int,
    out: int,
    inside: int,
    taps: int,
    stride: int,
    dilation: int,
    padding: int,
    size: int,
    groups: int,
) -> None:
    if size + 2 * padding < dilation * (taps - 1) + 1:
        return
    kernel = np.random.default_rng(seed).standard_normal((out * groups, inside, taps, taps))
    true = dense_norm(kernel, size, stride, dilation, padding, groups)
    bound = convolution_norm_bound(kernel, (stride, stride), (dilation, dilation), groups)
    assert true <= bound


def test_within_one_percent_on_a_large_lattice() -> None:
    kernel = np.random.default_rng(0).standard_normal((3, 2, 3, 3))
    true = dense_norm(kernel, 24, 1, 1, 1, 1)
    assert true <= convolution_norm_bound(kernel) <= 1.06 * true


@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (3, 5), (64, 64)])
def test_matrix_bound_is_tight(shape: tuple[int, int]) -> None:
    matrix = np.random.default_rng(2).standard_normal(shape)
    true = float(np.linalg.norm(matrix, 2))
    assert true <= matrix_norm_bound(matrix) <= true * (1 + 1e-5)


def test_zero_and_tiny_and_huge_matrices() -> None:
    assert matrix_norm_bound(np.zeros((3, 3))) == 0.0
    assert matrix_norm_bound(np.full((2, 2), 1e-150)) == pytest.approx(2e-150, rel=1e-5)
    assert matrix_norm_bound(np.full((2, 2), 1e100)) == pytest.approx(2e100, rel=1e-5)


def lattice_norm(kernel: np.ndarray, points: int = 96) -> float:
    """Largest symbol on a fine grid: below the supremum by less than 0.2 % for these kernels."""
    symbol = np.fft.fft2(kernel, (points, points)).transpose(2, 3, 0, 1)
    return float(np.linalg.norm(symbol, 2, (-2, -1)).max())


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    channels=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    taps=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    one_sign=st.booleans(),
)
def test_within_one_percent_of_the_symbol(
    seed: int, channels: tuple[int, int], taps: tuple[int, int], one_sign: bool
) -> None:
    kernel = np.random.default_rng(seed).standard_normal((*channels, *taps))
    kernel = np.abs(kernel) if one_sign else kernel
    grid, bound = lattice_norm(kernel), convolution_norm_bound(kernel)
    assert grid <= bound <= 1.01 * 1.002 * grid
    assert 0.98 * grid <= convolution_norm_estimate(kernel) <= bound


def test_a_peak_between_the_grid_points_is_not_missed() -> None:
    """Kernels whose symbol is cos^2 around a frequency half a step off the grid."""
    for shift in np.linspace(0, 2 * np.pi / 32, 9):
        phase = np.exp(1j * (np.pi / 3 + shift) * np.arange(3))
        waves = np.stack([phase.real, phase.imag])  # the sum of squares of both is the peak
        kernel = np.einsum("oy,ox->oyx", waves, waves)[:, None]
        peak = np.tensordot(kernel, np.outer(phase, phase), axes=([2, 3], [0, 1]))
        bound = convolution_norm_bound(kernel)
        assert float(np.linalg.norm(peak, 2)) <= bound <= 1.01 * lattice_norm(kernel, 288)


@pytest.mark.parametrize("seed", range(3))
def test_near_orthogonal_kernels_lose_next_to_nothing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    kernel = np.zeros((16, 16, 3, 3))
    kernel[:, :, 1, 1] = np.linalg.qr(rng.standard_normal((16, 16)))[0]
    assert convolution_norm_bound(kernel) <= 1 + 1e-8
    rounded = kernel + 1e-8 * rng.standard_normal(kernel.shape)
    assert lattice_norm(rounded) <= convolution_norm_bound(rounded) <= 1 + 1e-5
    coarse = np.rint(kernel * 127) / 127
    assert convolution_norm_bound(coarse) <= lattice_norm(coarse) * 1.002


def test_kernels_too_large_for_a_grid_keep_a_bound() -> None:
    kernel = np.random.default_rng(0).standard_normal((1, 1, 40, 40))
    assert lattice_norm(kernel, 256) <= convolution_norm_bound(kernel) < np.inf
    box = np.full((2, 2, 64, 64), 1 / 64**2)
    assert convolution_norm_bound(box) == pytest.approx(2.0, rel=1e-6)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_have_no_bound(value: float) -> None:
    kernel = np.ones((2, 2, 3, 3))
    kernel[1, 0, 2, 2] = value
    assert convolution_norm_bound(kernel) == np.inf
    assert matrix_norm_bound(kernel[:, :, 0, 0]) <= np.inf


@pytest.mark.parametrize("scale", [1e-300, 1e-44, 1e-20, 1e20, 1e150])
def test_scales_multiply_the_bound(scale: float) -> None:
    kernel = np.random.default_rng(0).standard_normal((3, 2, 3, 2))
    expected = convolution_norm_bound(kernel) * scale
    assert convolution_norm_bound(kernel * scale) == pytest.approx(expected, rel=1e-12)


def test_a_level_below_the_largest_eigenvalue_is_not_proved() -> None:
    rng = np.random.default_rng(0)
    for rows in (1, 2, 7, 40):
        a = rng.standard_normal((rows, rows)) + 1j * rng.standard_normal((rows, rows))
        gram = a @ a.conj().T
        largest = float(np.linalg.eigvalsh(gram)[-1])
        assert not at_most(gram, largest * (1 - 1e-9))
        assert at_most(gram, largest * (1 + 1e-9))
        assert largest <= largest_eigenvalue_bound(gram) <= largest * (1 + 1e-8)
