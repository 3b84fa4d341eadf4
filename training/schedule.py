"""The learning rate of every step: linear warm-up, then a cosine."""

from __future__ import annotations

import math


def learning_rate_at(step: int, steps: int, warmup: int, peak: float, final: float) -> float:
    """Learning rate of step `step` of 0 .. `steps` - 1.

    It rises linearly to `peak`, which step `warmup` has, then falls along half a cosine towards
    `final`. A function of the step alone, so that a resumed run needs no state.

    Source: Loshchilov and Hutter 2017, Eq. 5, without restarts.
    """
    if step < warmup:
        return peak * (step + 1) / (warmup + 1)
    share = (step - warmup) / max(1, steps - warmup)
    return final + (peak - final) * (1 + math.cos(math.pi * share)) / 2
