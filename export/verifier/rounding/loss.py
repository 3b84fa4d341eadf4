"""The form in which the rounding of every node is bounded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Inputs = Sequence[Any]


@dataclass(frozen=True)
class Loss:
    """Rounding of one node: |error| <= a S + c |y| + step + tiny, elementwise.

    Attributes:
        norms: for each input that moves, how much S moves with it at most, in l2.
        sum_factor: a.
        value_factor: c.
        tiny: absolute, for every element; so small that it is counted on the whole tensor.
        absolute: S of the inputs of the node.
        step: absolute, for every element or one for each channel; counted on the receptive field.
    """

    norms: tuple[tuple[str, float], ...] = ()
    sum_factor: float = 0.0
    value_factor: float = 0.0
    tiny: float = 0.0
    absolute: Callable[[Inputs], Array] | None = None
    step: Array | float = 0.0
