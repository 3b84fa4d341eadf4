"""DLPack against NumPy's and torch's own readers and writers."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
import torch.utils.dlpack

from lipdeploy.core.errors import InputError
from lipdeploy.runtime import dlpack
from lipdeploy.runtime.dlpack import CPU, CUDA, DeviceArray, borrowed


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.int64, np.float16])
def test_others_read_what_is_lent(dtype: type) -> None:
    array: npt.NDArray[Any] = np.arange(24).astype(dtype).reshape(1, 2, 3, 4)
    lent = DeviceArray(array.ctypes.data, array.shape, array.dtype, (CPU, 0), array)
    by_torch, by_numpy = torch.utils.dlpack.from_dlpack(lent), np.from_dlpack(lent)
    assert by_torch.data_ptr() == array.ctypes.data
    assert np.array_equal(by_torch.numpy(), array)
    assert np.array_equal(by_numpy, array)
    del by_torch, by_numpy
    unread = lent.__dlpack__()
    del unread
    gc.collect()
    assert not dlpack._lent, "memory stays lent for ever"


def test_what_cannot_be_done_without_a_copy_is_refused() -> None:
    array = np.arange(6, dtype=np.uint8)
    lent = DeviceArray(array.ctypes.data, array.shape, array.dtype, (CPU, 0), array)
    assert np.from_dlpack(lent, device="cpu").ctypes.data == array.ctypes.data
    with pytest.raises(BufferError, match="copy it afterwards"):
        np.from_dlpack(lent, copy=True)
    on_gpu = DeviceArray(array.ctypes.data, array.shape, array.dtype, (CUDA, 0), array)
    with pytest.raises(BufferError):
        np.from_dlpack(on_gpu, device="cpu")
    assert not dlpack._lent


def test_what_others_lend_is_read() -> None:
    tensor = torch.arange(12, dtype=torch.uint8).reshape(1, 2, 2, 3)
    found = borrowed(tensor)
    assert (found.address, found.shape, found.nbytes) == (tensor.data_ptr(), (1, 2, 2, 3), 12)
    assert found.dtype == np.uint8
    part = borrowed(tensor[:, 1])
    assert part.address == tensor.data_ptr() + 6
    with pytest.raises(InputError, match="make it contiguous"):
        borrowed(tensor[..., 0])
    with pytest.raises(InputError, match="cannot be lent"):
        borrowed([1, 2])
    with pytest.raises(InputError, match="no integer or float"):
        borrowed(torch.zeros(2, dtype=torch.complex64))
