"""Frames per second of the whole stream against bare inference, in turns in the same run.

Bare inference calls the session on frames decoded and resized beforehand. The stream captures,
checks, resizes, infers, certifies, draws (`draw`) and encodes (`record`). A file is decoded as it
goes; the live source hands out decoded frames faster than they can be processed, so that only the
newest is taken. Prints medians over the rounds, and what bounds the stream below 95 %.

    python benchmarks/stream.py [--model M] [--video V] [--threads 1 2] [--frames 150] [--rounds 3]

On a machine with other work wall-clock ratios say little. So each run is also judged by processor
time: milliseconds a frame of inference itself, of the thread that does it, and of the process.
`fits` is inference / max(its thread, process / cores): the speed left of bare inference where
nothing else runs. With several threads an inference cannot be told apart.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lipdeploy.cli.stream import bundled
from lipdeploy.core.resize import resized
from lipdeploy.runtime.result import Result
from lipdeploy.runtime.session import Prediction, Session, open_session
from lipdeploy.runtime.sinks import SinkContext, open_sinks
from lipdeploy.runtime.sources.frame import Frame
from lipdeploy.runtime.sources.video import VideoFile
from lipdeploy.runtime.spare_cores import leave_cores_to_the_model
from lipdeploy.runtime.stream import Stream, StreamOptions

EPS = 0.25
GOAL = 0.95
NOISES = 7  # prime to the number of frames, so that pictures do not come again soon
CORES = len(os.sched_getaffinity(0))
SOURCES = ("file", "live")
SINKS = ("null", "draw", "record")

Image = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Cost:
    """Processor time a frame in milliseconds: of inference, of its thread, of the process."""

    inference: float
    thread: float
    process: float

    @property
    def fits(self) -> float:
        """Speed on idle cores, as a share of that of inference alone, done by one thread."""
        return self.inference / max(self.thread, self.process / CORES)


class Meter:
    """A session that notes processor time, from the end of its first call on; see `Session`."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._calls = 0
        self._inside_s = 0.0
        self._first = self._last = (0.0, 0.0)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def infer(self, image: Image, eps: Sequence[float]) -> Prediction:
        """Pass on, and time it."""
        before_s = time.thread_time()
        found = self._session.infer(image, eps)
        now = (time.thread_time(), time.process_time())
        if self._calls:
            self._inside_s += now[0] - before_s
        else:
            self._first = now
        self._last = now
        self._calls += 1
        return found

    @property
    def cost_ms(self) -> Cost:
        """Processor time a frame."""
        thread_s, process_s = (
            last - first for first, last in zip(self._first, self._last, strict=True)
        )
        per_frame = 1e3 / max(1, self._calls - 1)
        return Cost(self._inside_s * per_frame, thread_s * per_frame, process_s * per_frame)


class LiveClip:
    """A camera that plays decoded frames round and round, `fps` of them a second.

    A bit of noise of each value makes every frame another one, as a sensor does.
    """

    live = True
    still = False

    def __init__(self, images: Sequence[Image], fps: float) -> None:
        self._images = images
        rng = np.random.default_rng(0)
        shape = (NOISES, *images[0].shape)
        self._noise = rng.integers(0, 2, shape, np.uint8)
        self.fps = fps
        self._closed = False

    def describe(self) -> str:
        """What it is."""
        return f"{len(self._images)} decoded frames, live at {self.fps:.0f} fps"

    def __iter__(self) -> Iterator[Frame]:
        start_s = time.monotonic()
        for index in range(10**9):
            left_s = start_s + index / self.fps - time.monotonic()
            if left_s > 0:
                time.sleep(left_s)
            if self._closed:
                return
            image = self._images[index % len(self._images)] ^ self._noise[index % NOISES]
            yield Frame(image, index, 1e3 * index / self.fps, time.monotonic(), str(index))

    def close(self) -> None:
        """End the iteration."""
        self._closed = True


class DrawnSink:
    """Asks for the overlay and forgets it."""

    wants_overlay = True

    def write(self, result: Result) -> None:
        """Forget it."""

    def describe(self) -> str:
        """Nowhere."""
        return ""

    def close(self) -> None:
        """Nothing to finish."""


@dataclass(frozen=True)
class Turn:
    """One bare run and one run of the stream, right after each other."""

    bare_fps: float
    stream_fps: float
    stage_ms: dict[str, float]
    cores: float
    cost_ms: Cost


def bare_fps(session: Session, images: Sequence[Image], frames: int) -> float:
    """Inferences a second."""
    manifest = session.manifest
    ready = [resized(image, manifest.height, manifest.width) for image in images]
    session.infer(ready[0], [EPS])
    start_s = time.perf_counter()
    for index in range(frames):
        session.infer(ready[index % len(ready)], [EPS])
    return frames / (time.perf_counter() - start_s)


def turn(session: Session, video: Path, source: str, sink: str, frames: int) -> Turn:
    """Measure both."""
    clip = VideoFile(video)
    images = [frame.image for frame, _ in zip(clip, range(40), strict=False)]
    clip.close()
    bare = bare_fps(session, images, frames)
    meter = Meter(session)
    opened: Any = VideoFile(video) if source == "file" else LiveClip(images, 2 * bare)
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/overlay.mp4" if sink == "record" else "null"
        sinks = open_sinks([path], SinkContext(25.0, session.manifest.class_names))
        sinks = [DrawnSink()] if sink == "draw" else sinks
        options = StreamOptions(eps=EPS, max_frames=frames, max_staleness_s=60.0)
        before_s = time.process_time()
        report = Stream(meter, opened, sinks, options).run()  # type: ignore[arg-type]
        busy_s = time.process_time() - before_s
        if report.withheld:  # they cost no inference: the rate would not be that of the model
            raise SystemExit(f"frames were withheld: {dict(report.withheld)}")
    opened.close()
    cores = busy_s / report.wall_s
    return Turn(bare, report.fps, dict(report.stage_ms), cores, meter.cost_ms)


def bound(one: Turn) -> str:
    """What keeps the stream from being as fast as bare inference."""
    slowest = max(one.stage_ms, key=lambda name: one.stage_ms[name])
    if one.cores > 0.9 * CORES:
        return f"processor: {one.cores:.1f} of {CORES} cores busy"
    return f"stage {slowest} ({one.stage_ms[slowest]:.1f} ms), {one.cores:.1f} cores busy"


def measure(
    session: Session, args: argparse.Namespace, threads: int, report: Callable[[str], None]
) -> list[dict[str, Any]]:
    """All sources and sinks with one session."""
    rows = []
    for source in args.sources:
        for sink in args.sinks:
            turns = [
                turn(session, args.video, source, sink, args.frames) for _ in range(args.rounds)
            ]
            ratio = statistics.median(one.stream_fps / one.bare_fps for one in turns)
            middle = sorted(turns, key=lambda one: one.stream_fps / one.bare_fps)[len(turns) // 2]
            why = "" if ratio >= GOAL else bound(middle)
            cost = middle.cost_ms
            inside = f"{cost.inference:6.1f} {cost.thread:6.1f}" if threads == 1 else " " * 13
            fits = f"{cost.fits:6.1%}" if threads == 1 else " " * 6
            report(
                f"{threads:7d}  {source:6} {sink:6} {middle.bare_fps:7.1f} "
                f"{middle.stream_fps:7.1f} {ratio:7.1%}  {inside} {cost.process:7.1f}  {fits}  "
                + why
            )
            found = {"threads": threads, "source": source, "sink": sink, "ratio": ratio}
            rows.append(found | {"turns": [asdict(one) for one in turns]})
    return rows


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=bundled("scene_s.onnx"))
    parser.add_argument("--video", type=Path, default=bundled("road.mp4"))
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--frames", type=int, default=150)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sources", nargs="+", choices=SOURCES, default=SOURCES)
    parser.add_argument("--sinks", nargs="+", choices=SINKS, default=SINKS)
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def main() -> None:
    """Measure and print."""
    args = arguments()
    leave_cores_to_the_model()
    print(f"{CORES} cores; processor time in ms a frame")
    print("threads  source sink      bare  stream   ratio   infer thread process    fits  bound by")
    rows: list[dict[str, Any]] = []
    for threads in args.threads:
        with open_session(args.model, threads=threads) as session:
            rows += measure(session, args, threads, print)
    if args.json:
        args.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
