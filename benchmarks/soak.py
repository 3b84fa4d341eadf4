"""A long run of the whole stream: does memory grow, do descriptors or threads leak?

Streams generated noise through a tiny model with `jsonl:` to the null device, a recording and a
thread that polls the status, and prints the slope of the memory (least squares on the resident set
after warm-up), descriptors, threads and latencies. Exits 1 where the slope reaches 1 MB per 10,000
frames or anything else grows.

    python benchmarks/soak.py [--frames 200000] [--overlay] [--json FILE]
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import importlib.util
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

import numpy as np
import numpy.typing as npt

from lipdeploy.runtime.result import Result
from lipdeploy.runtime.session import open_session
from lipdeploy.runtime.sinks.jsonl import JsonlSink
from lipdeploy.runtime.sinks.sink import Sink
from lipdeploy.runtime.sources.frame import Frame
from lipdeploy.runtime.stream import Stream, StreamOptions

HEIGHT, WIDTH = 48, 64
LIMIT_MB = 1.0  # per 10,000 frames
_WARM_UP = 0.2
_SAMPLES = 400


class NoiseSource:
    """Frames of noise, none of which repeats; as fast as they are taken."""

    live, still, fps = False, False, 100.0

    def __init__(self, frames: int) -> None:
        self._frames = frames

    def describe(self) -> str:
        """How many."""
        return f"noise ({self._frames} frames, {WIDTH}x{HEIGHT})"

    def __iter__(self) -> Iterator[Frame]:
        rng = np.random.default_rng(0)
        for index in range(self._frames):
            image = rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
            yield Frame(image, index, index * 10.0, time.monotonic(), str(index))

    def close(self) -> None:
        """Nothing is open."""


class Recording:
    """Records the overlay, or the captured frames: overlays are enlarged and slow to encode."""

    def __init__(self, sink: Sink, overlay: bool) -> None:
        self._sink = sink
        self.wants_overlay = overlay

    def write(self, result: Result) -> None:
        """Encode one picture."""
        picture = result.overlay if self.wants_overlay else result.frame.image
        self._sink.write(dataclasses.replace(result, overlay=picture))

    def describe(self) -> str:
        """The file."""
        return self._sink.describe()

    def close(self) -> None:
        """Close the file."""
        self._sink.close()


@dataclass
class Meter:
    """A sink that samples what the process holds."""

    every: int
    wants_overlay: bool = False
    loud: bool = False
    seen: int = 0
    samples: list[tuple[int, float, int, int]] = field(default_factory=list)

    def write(self, result: Result) -> None:
        """Sample where it is due: frame, MB resident, descriptors, threads."""
        self.seen += 1
        if self.seen % self.every == 0:
            held = (
                resident_mb(),
                _entries("/proc/self/fd"),
                _entries("/proc/self/task"),
            )
            self.samples.append((self.seen, *held))
            if self.loud and len(self.samples) % 20 == 0:
                print(*self.samples[-1], file=sys.stderr, flush=True)

    def describe(self) -> str:
        """Nowhere."""
        return ""

    def close(self) -> None:
        """Nothing to finish."""


@dataclass(frozen=True)
class Soaked:
    """What a run held.

    Attributes:
        frames: how many passed.
        mb_per_10k: slope of the resident set after warm-up.
        resident_mb: first and last after warm-up.
        descriptors: median of the first and of the second half after warm-up: what is open for a
            moment, such as a file that is synced, is no leak.
        threads: likewise.
        latency_ms: p50, p95, p99, max.
        p99_over_p50: spread of the latency.
        fps: frames a second.
        polls: how often the status was asked for.
    """

    frames: int
    mb_per_10k: float
    resident_mb: tuple[float, float]
    descriptors: tuple[float, float]
    threads: tuple[float, float]
    latency_ms: dict[str, float]
    p99_over_p50: float
    fps: float
    polls: int

    @property
    def flat(self) -> bool:
        """Whether descriptors and threads did not grow."""
        return self.descriptors[1] <= self.descriptors[0] and self.threads[1] <= self.threads[0]


def resident_mb() -> float:
    """Resident set of this process in MB (10^6 bytes)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _entries(folder: str) -> int:
    return sum(1 for _ in Path(folder).iterdir())


def soak(
    frames: int, model: Path, recording: Sink, overlay: bool = False, loud: bool = False
) -> Soaked:
    """Stream `frames` frames; the recording is closed at the end. `loud` tells of the progress."""
    meter = Meter(max(1, frames // _SAMPLES), loud=loud)
    sinks = [JsonlSink(Path(os.devnull), ("a", "b", "c")), Recording(recording, overlay), meter]
    polls, done = [0], threading.Event()
    with open_session(model, threads=1) as session:
        stream = Stream(session, NoiseSource(frames), sinks, StreamOptions(eps=0.05))

        def poll() -> None:
            while not done.wait(0.2):
                stream.status()
                polls[0] += 1

        poller = threading.Thread(target=poll)
        poller.start()
        try:
            report = stream.run()
        finally:
            done.set()
            poller.join()
    return _soaked(meter, report.latency_ms, report.fps, polls[0])


def _soaked(meter: Meter, latency_ms: object, fps: float, polls: int) -> Soaked:
    latency = dict(latency_ms) if isinstance(latency_ms, dict) else {}
    table = np.asarray(meter.samples, np.float64)[int(len(meter.samples) * _WARM_UP) :]
    slope = float(np.polyfit(table[:, 0], table[:, 1], 1)[0])
    return Soaked(
        frames=meter.seen,
        mb_per_10k=slope * 1e4,
        resident_mb=(float(table[0, 1]), float(table[-1, 1])),
        descriptors=_halves(table[:, 2]),
        threads=_halves(table[:, 3]),
        latency_ms=latency,
        p99_over_p50=latency["p99"] / latency["p50"],
        fps=fps,
        polls=polls,
    )


def _halves(counts: npt.NDArray[np.float64]) -> tuple[float, float]:
    half = len(counts) // 2
    return float(np.median(counts[:half])), float(np.median(counts[half:]))


def tiny() -> ModuleType:
    """The module of the tests that makes the tiny model."""
    path = Path(__file__).resolve().parents[1] / "tests" / "runtime" / "conftest.py"
    spec = importlib.util.spec_from_file_location("tiny_for_soak", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def main() -> int:
    """Run the soak and print what it found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=200_000)
    parser.add_argument("--overlay", action="store_true", help="draw and record the overlay")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    from lipdeploy.runtime.sinks.video import video_sink

    made = tiny()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        model = made.save_tiny(folder / "tiny.onnx", made.tiny_manifest())
        recording = video_sink(folder / "soak.mkv", 100.0)
        found = soak(args.frames, model, recording, args.overlay, loud=True)
    print(json.dumps(dataclasses.asdict(found), indent=2))
    if args.json:
        args.json.write_text(json.dumps(dataclasses.asdict(found)) + "\n")
    passed = found.mb_per_10k < LIMIT_MB and found.flat
    print(f"{'PASSED' if passed else 'FAILED'}: {found.mb_per_10k:.3f} MB per 10,000 frames")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
