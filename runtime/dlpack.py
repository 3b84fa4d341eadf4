"""Arrays on a device, lent and borrowed without a copy: DLPack, and the CUDA array interface.

DLPack's C structures are a stable ABI (version 0.8 here, which every library reads).

Source: DLPack, include/dlpack/dlpack.h; Python array API standard, `__dlpack__`.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any

import numpy as np

from lipdeploy.core.errors import InputError

CPU, CUDA = 1, 2  # DLDeviceType
_NAME, _USED_NAME = b"dltensor", b"used_dltensor"
_CODES = {"i": 0, "u": 1, "f": 2}  # DLDataTypeCode by NumPy's kind


class _Tensor(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    )


class _Managed(ctypes.Structure):
    pass


_Deleter = ctypes.CFUNCTYPE(None, ctypes.POINTER(_Managed))
_Managed._fields_ = (
    ("tensor", _Tensor),
    ("context", ctypes.c_void_p),
    ("deleter", _Deleter),
)
_Destructor = ctypes.CFUNCTYPE(None, ctypes.c_void_p)

_new = ctypes.pythonapi.PyCapsule_New
_new.restype, _new.argtypes = ctypes.py_object, (ctypes.c_void_p, ctypes.c_char_p, _Destructor)
_is_valid = ctypes.pythonapi.PyCapsule_IsValid
_is_valid.restype, _is_valid.argtypes = ctypes.c_int, (ctypes.py_object, ctypes.c_char_p)
_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_pointer.restype, _pointer.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_char_p)
# The destructor gets a capsule without a reference of its own: as an address, not as an object.
_is_valid_at = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p)(
    ("PyCapsule_IsValid", ctypes.pythonapi)
)

_lent: dict[int, tuple[Any, ...]] = {}  # what consumers hold, by address of its structure


def _forget(managed: Any) -> None:
    _lent.pop(ctypes.addressof(managed.contents), None)


def _drop(capsule: int) -> None:
    """A capsule that nobody consumed takes its tensor along."""
    if _is_valid_at(capsule, _NAME):
        _lent.pop(_pointer_at(capsule, _NAME), None)


_pointer_at = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi)
)
_delete, _destroy = _Deleter(_forget), _Destructor(_drop)


@dataclass(frozen=True)
class DeviceArray:
    """Memory that someone else owns, as `torch.from_dlpack`, CuPy and others take it.

    Attributes:
        address: of the first element.
        shape: contiguous, row by row.
        dtype: as NumPy knows it.
        device: kind (`CPU`, `CUDA`) and index.
        owner: kept alive as long as a consumer holds the memory.
    """

    address: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    device: tuple[int, int]
    owner: Any = None

    def __dlpack_device__(self) -> tuple[int, int]:
        """Kind and index of the device."""
        return self.device

    def __dlpack__(
        self, *, stream: Any = None, dl_device: Any = None, copy: Any = None, **_: Any
    ) -> Any:
        """A capsule; the memory is ready on every stream, since whoever lends it waited."""
        if copy or dl_device not in (None, self.device):
            raise BufferError("the memory is lent where it is; copy it afterwards")
        if self.dtype.kind not in _CODES:
            raise BufferError(f"{self.dtype} has no DLPack type")
        shape = (ctypes.c_int64 * len(self.shape))(*self.shape)
        tensor = _Tensor(
            self.address, *self.device, len(self.shape), _CODES[self.dtype.kind],
            8 * self.dtype.itemsize, 1, ctypes.cast(shape, ctypes.POINTER(ctypes.c_int64)), None, 0,
        )  # fmt: skip
        managed = _Managed(tensor, None, _delete)
        at = ctypes.addressof(managed)
        _lent[at] = (managed, shape, self)
        return _new(at, _NAME, _destroy)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        """For libraries that read this instead."""
        if self.device[0] != CUDA:
            raise AttributeError("not on a CUDA device")
        return {
            "shape": self.shape,
            "typestr": self.dtype.str,
            "data": (self.address, True),  # read only
            "version": 3,
        }


@dataclass(frozen=True)
class Borrowed:
    """What a DLPack capsule says; `capsule` keeps the memory alive.

    Attributes:
        address: of the first element.
        shape: contiguous.
        dtype: as NumPy knows it.
        device: kind and index.
        capsule: not consumed; it frees the tensor itself.
    """

    address: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    device: tuple[int, int]
    capsule: Any

    @property
    def nbytes(self) -> int:
        """Size of the memory."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize


def borrowed(array: Any) -> Borrowed:
    """The memory of an array of any library.

    Raises:
        InputError: no DLPack array, a type without NumPy's name, or not contiguous.
    """
    try:
        capsule = array.__dlpack__()
    except (AttributeError, BufferError, RuntimeError, TypeError) as error:
        raise InputError(f"{type(array).__name__} cannot be lent by DLPack ({error})") from error
    if not _is_valid(capsule, _NAME):
        raise InputError("the DLPack capsule was used before, or is of a newer version")
    tensor = ctypes.cast(_pointer(capsule, _NAME), ctypes.POINTER(_Managed)).contents.tensor
    shape = tuple(tensor.shape[i] for i in range(tensor.ndim))
    strides = tuple(tensor.strides[i] for i in range(tensor.ndim)) if tensor.strides else None
    kinds = {code: kind for kind, code in _CODES.items()}
    if tensor.code not in kinds or tensor.lanes != 1:
        raise InputError(f"DLPack type {tensor.code} of {tensor.bits} bits is no integer or float")
    if strides is not None and not _is_contiguous(shape, strides):
        raise InputError(f"the array of shape {shape} has strides {strides}; make it contiguous")
    dtype = np.dtype(f"{kinds[tensor.code]}{tensor.bits // 8}")
    address = int(tensor.data or 0) + int(tensor.byte_offset)
    return Borrowed(address, shape, dtype, (tensor.device_type, tensor.device_id), capsule)


def _is_contiguous(shape: tuple[int, ...], strides: tuple[int, ...]) -> bool:
    """Row by row; the stride of a side of one element says nothing."""
    step = 1
    for side, stride in zip(reversed(shape), reversed(strides), strict=True):
        if side > 1 and stride != step:
            return False
        step *= side
    return True
