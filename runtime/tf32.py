"""Whether NVIDIA's libraries were told to compute in TF32, whatever a program asks of them."""

from __future__ import annotations

import os

VARIABLE = "NVIDIA_TF32_OVERRIDE"
TF32_FORCED = f"{VARIABLE} may force TF32, which keeps 10 of float32's 23 bits; unset {VARIABLE}"


def tf32_forced() -> bool:
    """Whether the variable is set to anything but 0, which turns TF32 off for good."""
    return os.environ.get(VARIABLE, "0") not in ("", "0")
