"""A stream made up for tests of the live page: results at a fixed rate, faults on demand."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from email.message import Message
from types import TracebackType

import cv2
import numpy as np

from lipdeploy.core.manifest import Level
from lipdeploy.runtime.controls import Controls
from lipdeploy.runtime.regions import find_regions
from lipdeploy.runtime.result import Result
from lipdeploy.runtime.session import Prediction
from lipdeploy.runtime.sources.frame import Frame
from lipdeploy.runtime.sources.state import SourceState
from lipdeploy.runtime.status import SinkState, StreamStatus
from lipdeploy.runtime.web import PageSink

NAMES = ("road", "sky", "background")


def make_result(
    index: int = 0, eps: float = 0.25, reason: str = "", level: Level = "statistical"
) -> Result:
    """A road under a sky with a ball that moves; radii 0.02 to 0.5 from left to right."""
    image = np.full((120, 160, 3), (90, 160, 220), np.uint8)
    image[60:] = (110, 100, 120)
    cv2.circle(image, (index * 7 % 160, 60), 15, (250, 200, 60), -1)
    frame = Frame(image, index, index * 50.0, time.monotonic(), str(index))
    made = Result(frame, "withheld" if reason else "ok", reason, eps, None, level, overlay=image)
    if not reason:
        mask = np.ones((24, 32), np.uint8)
        mask[12:] = 0
        mask[:4, :4] = 2
        radius = np.broadcast_to(np.linspace(0.02, 0.5, 32, dtype=np.float32), (24, 32)).copy()
        regions = find_regions(mask, radius, eps)
        flips = np.floor(sum(mask.size * (1 - share) for share in regions.class_share.values()))
        made.prediction = Prediction(mask, radius, np.array([flips], np.float32))
        made.regions = regions if level != "none" else None
    made.latency_ms = 12.0 + index % 5
    return made


@dataclass
class Context:
    """What a page is told of the stream."""

    class_names: tuple[str, ...] = NAMES
    controls: Controls | None = field(default_factory=lambda: Controls(0.25))
    sources: tuple[SourceState, ...] = (SourceState("test://scene"),)
    frames: int = 0
    dropped: int = 0
    state: str = "ok"
    reason: str = ""

    def status(self) -> StreamStatus:
        """A made-up snapshot."""
        return StreamStatus(
            uptime_s=3661.0,
            frames_in=self.frames + self.dropped,
            shown=self.frames,
            dropped=self.dropped,
            withheld={},
            fps=20.0,
            latency_ms={"p50": 12.0, "p95": 15.0, "p99": 16.0, "max": 16.0},
            eps=self.controls.eps if self.controls else 0.25,
            level="statistical",
            state=self.state,
            reason=self.reason,
            certified_share=None,
            class_shares={},
            sources=self.sources,
            sinks=(SinkState("http", self.frames), SinkState("out.mkv", 10, 2, "disk full")),
        )


class Feeder:
    """Feeds a page 20 results a second until it is left; `paused` and `reason` make faults."""

    def __init__(self, sink: PageSink, context: Context) -> None:
        self.paused = False
        self.reason = ""
        self._sink = sink
        self._context = context
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        while not self._stop.wait(0.05):
            if self.paused:
                continue
            controls = self._context.controls
            eps = controls.eps if controls else 0.25
            self._sink.write(make_result(self._context.frames, eps, self.reason))
            self._context.frames += 1

    def __enter__(self) -> Feeder:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._sink.close()


def headers(**fields: str) -> Message:
    """Headers of a request; `Sec_Fetch_Site` stands for `Sec-Fetch-Site`."""
    made: Message = Message()
    for name, value in fields.items():
        made[name.replace("_", "-")] = value
    return made
