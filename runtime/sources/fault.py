"""Faults of a generated source: what cameras and links do, on purpose and at a known time."""

from __future__ import annotations

import re
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from lipdeploy.core.errors import SourceError
from lipdeploy.runtime.sources.options import seconds

KINDS = ("freeze", "black", "drop", "corrupt", "slow", "resize", "disconnect", "hang")
_GRAMMAR = re.compile(r"(?P<kind>[a-z]+)@(?P<start>[^-+]+)((?P<how>[-+])(?P<end>.+))?")


@dataclass(frozen=True)
class Fault:
    """`kind` from `start_s` (inclusive) to `end_s` (exclusive; infinity for the rest)."""

    kind: str
    start_s: float
    end_s: float

    @property
    def endless(self) -> bool:
        """Whether it lasts for the rest."""
        return self.end_s == float("inf")

    def active(self, time_s: float) -> bool:
        """Whether a frame captured at this time has the fault."""
        return self.start_s <= time_s < self.end_s


def parse_faults(text: str) -> tuple[Fault, ...]:
    """Read `freeze@1s`, `black@500ms-2s`, `disconnect@1s+0.5s`, or several with commas.

    Raises:
        SourceError: an unknown kind or a time that is none.
    """
    return tuple(_parse(part) for part in text.split(",") if part)


def _parse(text: str) -> Fault:
    found = _GRAMMAR.fullmatch(text)
    if not found or found["kind"] not in KINDS:
        raise SourceError(
            f"fault {text!r} is unknown; expected KIND@TIME, KIND@FROM-TO or KIND@FROM+DURATION, "
            f"KIND one of {', '.join(KINDS)}"
        )
    start_s = seconds(found["start"])
    end_s = seconds(found["end"]) if found["end"] else float("inf")
    if found["how"] == "+":
        end_s += start_s
    if end_s <= start_s:
        raise SourceError(f"fault {text!r} ends before it begins; for example freeze@1s-2s")
    return Fault(found["kind"], start_s, end_s)


def corrupted(image: npt.NDArray[np.uint8], seed: int) -> npt.NDArray[np.uint8]:
    """The image with a third of its rows as a decoder shows lost data: displaced, blocky, green."""
    broken = image.copy()
    rows = max(1, image.shape[0] // 3)
    top = int(np.random.default_rng(seed).integers(0, image.shape[0] - rows + 1))
    small = cv2.resize(broken[top : top + rows], (16, 4), interpolation=cv2.INTER_AREA)
    blocky = cv2.resize(small, (image.shape[1], rows), interpolation=cv2.INTER_NEAREST)
    broken[top : top + rows] = np.roll(blocky, image.shape[1] // 5, axis=1)
    broken[top : top + rows, :, 1] |= 0x80
    return broken
