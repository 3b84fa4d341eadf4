"""Mixed precision: activations in 16 bits, parametrisation and centering in float32."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import torch

from lipdeploy.core.errors import ArtefactError, InputError

PRECISIONS = {"float32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class Precision:
    """Autocast of the forward pass, and the loss scaling that fp16 needs.

    Kernels, their gradients through the parametrisation, centering statistics, the loss and the
    optimizer stay in the parameters' precision, so the norm bounds do not move.

    Raises:
        InputError: an unknown precision.
        ArtefactError: fp16 without a GPU.
    """

    def __init__(self, name: str, device: torch.device) -> None:
        if name not in PRECISIONS:
            raise InputError(f"precision is {name!r}; expected {', '.join(PRECISIONS)}")
        if name == "fp16" and device.type != "cuda":
            raise ArtefactError(
                f"--precision fp16 needs a GPU, the device is {device.type}; "
                "use --precision bf16 or float32"
            )
        self.dtype, self.device = PRECISIONS[name], device
        self.scaler = torch.amp.GradScaler(device.type, enabled=name == "fp16")

    def autocast(self) -> AbstractContextManager[Any]:
        """Context of the forward pass."""
        lowered = self.dtype != torch.float32
        dtype = self.dtype if lowered else None
        return torch.autocast(self.device.type, dtype, enabled=lowered)
