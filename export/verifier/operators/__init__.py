"""Every operator that the verifier knows, in float64 NumPy, one family a file.

Each takes the attributes and the inputs (None where an optional one is left out) and returns the
outputs. Malformed attributes raise ValueError or KeyError.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lipdeploy.export.verifier.operators import (
    convolution,
    elementwise,
    layout,
    pooling,
    quantization,
)

OPERATORS: dict[str, Callable[..., list[Any]]] = {
    **convolution.OPERATORS,
    **elementwise.OPERATORS,
    **layout.OPERATORS,
    **pooling.OPERATORS,
    **quantization.OPERATORS,
}
