"""What a sink may need to know of the stream that feeds it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lipdeploy.runtime.controls import Controls
from lipdeploy.runtime.status import StreamStatus


@dataclass(frozen=True)
class SinkContext:
    """Of one stream, for all of its sinks.

    Attributes:
        fps: nominal rate of the source, above 0.
        class_names: of the model, by class id.
        status: the newest snapshot of the stream; None where there is no stream to ask.
        controls: what may be changed while it runs; None where nothing may.
        live: whether frames are timed by their capture, or by their place in a file.
    """

    fps: float
    class_names: tuple[str, ...]
    status: Callable[[], StreamStatus] | None = None
    controls: Controls | None = None
    live: bool = False
