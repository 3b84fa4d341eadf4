"""One frame, and what every source of frames can do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Frame:
    """A decoded picture.

    Attributes:
        image: RGB, shape (H, W, 3), uint8.
        index: position at the source from 0; a gap is a frame that the source lost.
        time_ms: capture time since the source began: of the container, or of the clock if live.
        captured_s: `time.monotonic()` when it was captured; the age of a live frame counts from it.
        name: file name, or the index.
        damaged: what the source knows to be wrong with the pixels; empty when nothing.
        labels: class id of each pixel where known, shape (H, W), uint8.
        source_id: which of several sources it is from; empty where there is one.
        capture_wall_s: time of capture in seconds since 1970 (UTC) if live, for logs: unlike
            `captured_s` it jumps when the clock is set.
    """

    image: npt.NDArray[np.uint8]
    index: int
    time_ms: float
    captured_s: float
    name: str
    damaged: str = ""
    labels: npt.NDArray[np.uint8] | None = None
    source_id: str = ""
    capture_wall_s: float | None = None


class Source(Protocol):
    """An opened source; iterating captures frames until it ends.

    Iterating raises `SourceLostError` where the source breaks off. A live source also has
    `state()`, one of several sources `states()`; `lipdeploy.runtime.sources.state.states_of` asks
    any.
    """

    @property
    def live(self) -> bool:
        """Whether frames pass by whether or not they are taken (a camera), or wait (a file)."""

    @property
    def still(self) -> bool:
        """Whether frames are single pictures, which may repeat or be black."""

    @property
    def fps(self) -> float:
        """Nominal frames a second, above 0."""

    def describe(self) -> str:
        """What was opened, in a few words, with passwords redacted."""

    def __iter__(self) -> Iterator[Frame]: ...

    def close(self) -> None:
        """Release the device or file; iterating ends."""
