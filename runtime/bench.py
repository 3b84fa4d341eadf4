"""What a model takes on this device: its engines side by side, and the stages of a stream."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lipdeploy.core.closing import Closing
from lipdeploy.runtime.bench_timing import Times, in_turns, machine
from lipdeploy.runtime.controls import Controls
from lipdeploy.runtime.freshness import Freshness
from lipdeploy.runtime.rate import Rate
from lipdeploy.runtime.result import Result
from lipdeploy.runtime.session import Session, engine_for, engine_module, open_session
from lipdeploy.runtime.sources.frame import Frame
from lipdeploy.runtime.stages import Certifier, Predictor
from lipdeploy.samples.scene import SMALLEST, render

SOURCE_SIZE = (480, 640)
SCENES = 4
KEEP = 0.9


@dataclass(frozen=True)
class BenchOptions:
    """What to measure.

    Attributes:
        engines: names; each runs the model itself.
        rounds: timed calls of each contestant.
        threads: of one inference; 0 lets the engine choose.
        eps: budget, l2 at the network's input.
    """

    engines: Sequence[str]
    rounds: int = 30
    threads: int = 0
    eps: float = 0.25


@dataclass(frozen=True)
class EngineFigures:
    """What one engine took.

    Attributes:
        engine: name, version and device.
        level: what may be claimed where this engine runs the model.
        doubt: why that is `none`; empty if it is not.
        load_ms: reading, checking and compiling the model, once.
        model: of the model as it is.
        bare: of the same network without its head; None where that was not measured.
        stages_ms: median of each stage of a stream.
    """

    engine: str
    level: str
    doubt: str
    load_ms: float
    model: Times
    bare: Times | None = None
    stages_ms: Mapping[str, float] = field(default_factory=dict)

    @property
    def head_share(self) -> float | None:
        """What the head adds, as a share of the network without it."""
        return None if self.bare is None else self.model.median_ms / self.bare.median_ms - 1


@dataclass(frozen=True)
class BenchReport:
    """All figures of one run.

    Attributes:
        model: the file.
        shape: of its input.
        options: what was measured.
        machine: where, see `lipdeploy.runtime.bench_timing.machine`.
        figures: by name of engine, in the order asked for.
    """

    model: str
    shape: tuple[int, ...]
    options: BenchOptions
    machine: Mapping[str, object]
    figures: Mapping[str, EngineFigures]

    def to_json(self) -> dict[str, Any]:
        """Medians and every single time, in milliseconds."""
        return {
            "model": self.model,
            "shape": list(self.shape),
            "rounds": self.options.rounds,
            "threads": self.options.threads,
            "eps": self.options.eps,
            "machine": dict(self.machine),
            "engines": {name: _figures_json(each) for name, each in self.figures.items()},
        }


def _figures_json(figures: EngineFigures) -> dict[str, Any]:
    return {
        "engine": figures.engine,
        "level": figures.level,
        "doubt": figures.doubt,
        "load_ms": figures.load_ms,
        "model": _times_json(figures.model),
        "bare": None if figures.bare is None else _times_json(figures.bare),
        "head_share": figures.head_share,
        "stages_ms": dict(figures.stages_ms),
    }


def _times_json(times: Times) -> dict[str, Any]:
    medians = {"median_ms": times.median_ms, "median_cpu_ms": times.median_cpu_ms}
    return {**medians, "ms": times.wall_ms, "cpu_ms": times.cpu_ms}


def bench(
    path: Path,
    options: BenchOptions,
    bare: bytes | None = None,
    turns: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> BenchReport:
    """Measure a model in one run, all engines in turns.

    Args:
        path: the file.
        options: what to measure.
        bare: the file's network without its head, from `image` to `logits`, to tell what the head
            costs; None leaves that out.
        turns: the rounds themselves, or with a progress bar around them.

    Raises:
        ArtefactError: an engine that cannot be used here.
        InputError: an unknown engine, a missing file or a negative number.
        VerificationError: the file is no lipdeploy model.
    """
    with ExitStack() as stack:
        contestants: dict[str, _Contestant] = {}
        for name in options.engines:
            engine_for(path, name)
            contestants[name] = stack.enter_context(_Contestant(path, name, options, bare))
        where = machine()
        calls = {k: v for c in contestants.values() for k, v in c.calls().items()}
        times = in_turns(calls, turns(range(options.rounds)))
        figures = {name: each.figures(times) for name, each in contestants.items()}
        manifest = next(iter(contestants.values())).session.manifest
        shape = (1, manifest.height, manifest.width, 3)
    return BenchReport(str(path), shape, options, where, figures)


class _Contestant(Closing):
    """One engine with the model loaded."""

    def __init__(self, path: Path, name: str, options: BenchOptions, bare: bytes | None) -> None:
        start_s = time.perf_counter()
        self.session: Session = open_session(path, name, options.threads)
        self._load_ms = (time.perf_counter() - start_s) * 1e3
        self._name, self._options = name, options
        self._bare = engine_module(name).open_graph(bare, options.threads) if bare else None
        manifest = self.session.manifest
        self._stream = _Stream(self.session, options.eps)
        self._image = _scene(0, manifest.height, manifest.width)

    def close(self) -> None:
        """Release the engine."""
        self.session.close()

    def calls(self) -> dict[str, Callable[[], object]]:
        """What to take the time of, by name."""
        eps = [self._options.eps] * self.session.manifest.budgets
        found: dict[str, Callable[[], object]] = {
            f"{self._name} model": lambda: self.session.infer(self._image, eps),
            f"{self._name} stream": self._stream.step,
        }
        bare = self._bare
        if bare is not None:
            feed = {"image": self._image[np.newaxis]}
            found[f"{self._name} bare"] = lambda: bare(["logits"], feed)
        return found

    def figures(self, times: Mapping[str, Times]) -> EngineFigures:
        """The medians of what was called."""
        return EngineFigures(
            self.session.engine,
            self.session.manifest.numerics.level,
            self.session.standing.doubt,
            self._load_ms,
            times[f"{self._name} model"],
            times.get(f"{self._name} bare"),
            self._stream.medians_ms(),
        )


class _Stream:
    """The computing stages of `lipdeploy stream` on generated frames."""

    def __init__(self, session: Session, eps: float) -> None:
        frames = [_scene(k, *SOURCE_SIZE) for k in range(SCENES)]
        self._frames, self._next = frames, 0
        self._predictor = Predictor(session, Controls(eps))
        freshness = Freshness(live=False, still=True)
        self._certifier = Certifier(freshness, session, KEEP, "regions", Rate())
        self._results: list[Result] = []

    def step(self) -> None:
        """One frame through resize, inference, regions and overlay."""
        image = self._frames[self._next % SCENES]
        frame = Frame(image, self._next, 0.0, time.monotonic(), str(self._next))
        self._next += 1
        prepared = self._predictor.prepare(frame, "", 0.0)
        del prepared.stage_ms["capture"]  # the frames were made beforehand
        self._results.append(self._certifier.certify(self._predictor.predict(prepared)))

    def medians_ms(self) -> dict[str, float]:
        """Median of each stage; the first frames, which load and allocate, are few."""
        names = dict.fromkeys(name for result in self._results for name in result.stage_ms)
        return {
            name: statistics.median(r.stage_ms[name] for r in self._results if name in r.stage_ms)
            for name in names
        }


def _scene(seed: int, height: int, width: int) -> Any:
    """A road scene; noise where the model is too small for one."""
    if min(height, width) < SMALLEST:
        return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    return render(seed, 2.0, height, width).image


def fastest(report: BenchReport) -> str:
    """The name of the engine with the smallest median."""
    return min(report.figures, key=lambda name: report.figures[name].model.median_ms)
