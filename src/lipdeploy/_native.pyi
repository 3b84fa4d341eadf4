# The compiled core, built from cpp/. Arrays are C-contiguous and of exactly these types;
# lipdeploy.core.compiled sees to that.

import numpy as np
import numpy.typing as npt

_Float32 = npt.NDArray[np.float32]
_Float64 = npt.NDArray[np.float64]
_Int32 = npt.NDArray[np.int32]
_Int64 = npt.NDArray[np.int64]
_UInt8 = npt.NDArray[np.uint8]

def count_flips(radius: _Float32, eps: float) -> int: ...
def count_flips_curve(radius: _Float32, eps: _Float64) -> _Int64: ...
def count_flips_upper(radius: _Float32, eps: _Float64) -> _Int64: ...
def argsort(radius: _Float32) -> npt.NDArray[np.uint32]: ...
def certify_segments(
    segment: _UInt8 | _Int32 | _Int64, radius: _Float32, eps: float, needed: _Int64
) -> tuple[_Int64, _Int64, _Float64]: ...
def label_regions(mask: _UInt8, min_area: int, number: _Int32) -> tuple[_Int32, int]: ...
def iou_frontier(
    truth: _UInt8, predicted: _UInt8, leave: _Float32, join: _Float32, class_id: int, eps: float
) -> tuple[int, int, _Int64]: ...
def tint(
    frame: _UInt8,
    code: _UInt8,
    inside: _UInt8,
    rows: _Int32,
    columns: _Int32,
    stripes: tuple[int, int],
    colours: tuple[_UInt8, _UInt8, _UInt8, int],
    out: _UInt8,
) -> None: ...
def deepest_box(
    number: _Int32, region: int, window: tuple[int, int, int, int], box: tuple[int, int]
) -> tuple[int, int] | None: ...
