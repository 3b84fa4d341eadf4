"""Bounds against the singular values of the dense Jacobian."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lipdeploy.core.operator_norm import convolution_norm_bound, matrix_norm_bound


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
