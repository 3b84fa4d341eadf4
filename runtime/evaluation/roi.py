"""Region of interest: the part of the picture in which labels count."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from lipdeploy.core.dataset import IGNORE
from lipdeploy.core.errors import InputError
from lipdeploy.core.resize import resized_labels

Labels = npt.NDArray[np.uint8]

PNG = b"\x89PNG\r\n"


@dataclass(frozen=True)
class RegionOfInterest:
    """A mask at the network's size. The adversary may perturb the whole image all the same.

    Attributes:
        name: of its file.
        sha256: of its file.
        inside: where labels count, shape (H, W).
    """

    name: str
    sha256: str
    inside: npt.NDArray[np.bool_]

    def restrict(self, truth: Labels) -> Labels:
        """The labels (H, W), ignored outside the region."""
        return np.where(self.inside, truth, np.uint8(IGNORE))

    @property
    def identity(self) -> dict[str, str]:
        """Name and hash."""
        return {"name": self.name, "sha256": self.sha256}


def load_roi(path: Path, height: int, width: int) -> RegionOfInterest:
    """Read a mask, non-zero where labels count, and bring it to the network's size by nearest.

    Raises:
        InputError: the file cannot be read, has transparency, or no pixel of it counts.
    """
    if not path.is_file():
        raise InputError(f"--roi {path} is not a file; expected a PNG, non-zero where labels count")
    data = path.read_bytes()
    png = data.startswith(PNG)  # other formats may blur the edge and fill the outside with noise
    mask = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) if png else None
    if mask is None:
        raise InputError(f"--roi {path} cannot be decoded as a PNG; save the mask as one")
    if mask.ndim == 3 and mask.shape[2] != 3:
        raise InputError(f"--roi {path} has transparency; save it as grey, 0 outside the region")
    inside = (mask != 0).any(axis=-1) if mask.ndim == 3 else mask != 0
    resized = resized_labels(inside.astype(np.uint8), height, width) != 0
    if not resized.any():
        where = "" if not inside.any() else f" at the network's size {width}x{height}"
        raise InputError(f"--roi {path} is 0 everywhere{where}; nothing would count")
    return RegionOfInterest(path.name, hashlib.sha256(data).hexdigest(), resized)
