"""From a verified float32 file to a verified file of another precision."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lipdeploy.calibration.attack import L2Attack
from lipdeploy.calibration.dear_engines import dear_engines
from lipdeploy.calibration.derivatives import ReversePass
from lipdeploy.calibration.examples import Examples, measurement_frames
from lipdeploy.calibration.source import Source
from lipdeploy.calibration.transformation import Plan, Transformed, transformed
from lipdeploy.core.errors import VerificationError
from lipdeploy.core.manifest import Manifest, Numerics
from lipdeploy.export.artefact import assembled
from lipdeploy.export.engine_parity import EngineMeter, Progress, logits_of, measure_engines
from lipdeploy.export.sealing import MARGIN_OVER_COMPUTED, sealed, write_verified
from lipdeploy.export.slack import measured_figures, measured_numerics
from lipdeploy.export.verifier.graph import Graph
from lipdeploy.export.verifier.lipschitz import graph_bound
from lipdeploy.export.verifier.parity import STATISTICAL_FRAMES, Frame, Logits, interleaved
from lipdeploy.export.verifier.replay import Replay
from lipdeploy.export.verifier.rounding.bound import Rounding, RoundingBound
from lipdeploy.export.verifier.rounding.level import bounded_engine, bounded_numerics, check_useful
from lipdeploy.export.verifier.verification import Verification
from lipdeploy.runtime.session import available_engines, engine_module

ATTACK_EVERY = 8
JUDGED_EXAMPLES = 32  # whose margins level `bounded` must leave something of
ROUNDING_STEPS = 64  # neighbours of the worst frame, tried against the rounding of each engine
CPU_ENGINES = ("onnxruntime", "openvino")  # measured unless others are named


@dataclass(frozen=True)
class Measurement:
    """How D is measured.

    Attributes:
        frames: clean and attacked ones; below 1,000 the level is `none`.
        engines: names, all of which D covers; none: every one of `CPU_ENGINES` that is installed
            and that `dear_engines` does not leave out.
    """

    frames: int = STATISTICAL_FRAMES
    engines: Sequence[str] = ()

    @property
    def engine_names(self) -> tuple[str, ...]:
        """The engines to measure."""
        here = tuple(name for name in CPU_ENGINES if name in available_engines())
        return tuple(dict.fromkeys(self.engines)) or here


@dataclass(frozen=True)
class Report:
    """What became of one precision.

    Attributes:
        verification: of the written file.
        numerics: as stored.
        limits: range of each quantized activation.
        skipped: engines that cannot run the file, and why; on these it has level `none`.
        left_out: what was measured on engines that D does not cover, by engine string; likewise.
    """

    verification: Verification
    numerics: Numerics
    limits: dict[str, float]
    skipped: dict[str, str]
    left_out: dict[str, EngineMeter]


class Calibrator:
    """One source on one data set; attacked frames are found once for all precisions."""

    def __init__(self, source: Source, examples: Examples, measurement: Measurement) -> None:
        self.source, self.examples, self.measurement = source, examples, measurement
        self._attack = _Remembered(L2Attack(ReversePass(source.graph)))
        self._engines = {name: engine_module(name) for name in measurement.engine_names}

    def calibrate(self, plan: Plan, target: Path, progress: Progress) -> Report:
        """Write `target`; nothing is left there when a check fails.

        Raises:
            InputError: an example that cannot be read, a weight that does not fit.
            OSError: the file cannot be written.
            VerificationError: the bound, the head, parity or the slack does not hold.
        """
        if plan.level == "bounded":
            bounded_engine(module.ENGINE for module in self._engines.values())
        made = transformed(self.source.trunk, plan, self.examples)
        bound = self._rounding_bound(made) if plan.level == "bounded" else None
        manifest, source = self._draft(made, plan), self.source
        draft = assembled(made.trunk, manifest, source.description, with_logits=True)
        engines, skipped = self._opened(bytes(draft.SerializeToString()))
        clean = measurement_frames(self.examples, self.measurement.frames)
        frames = interleaved(clean, self._attack, ATTACK_EVERY)
        names = {self._engines[name].ENGINE: name for name in engines}
        runs = {engine: engines[name] for engine, name in names.items()}
        replay = Replay(Graph(made.trunk))
        meters = measure_engines(runs, replay, frames, ROUNDING_STEPS, progress)
        left_out = {} if self.measurement.engines or bound else _taken(meters, dear_engines(meters))
        numerics = measured_numerics(plan.precision, meters)
        if bound is not None:
            name = bounded_engine(meters)
            meters = {name: meters[name]}
            numerics = bounded_numerics(bound, name, measured_figures(meters[name]), plan.precision)
        manifest = dataclasses.replace(manifest, numerics=numerics)
        model = sealed(made.trunk, manifest, source.description, source.with_logits)
        verification = write_verified(model, target, [names[engine] for engine in meters])
        return Report(verification, numerics, made.limits, skipped, left_out)

    def _rounding_bound(self, made: Transformed) -> RoundingBound:
        """D of level `bounded`, refused where it leaves most pixels nothing."""
        rounding = Rounding(Graph(made.trunk))
        bound = rounding.of_model()
        check_useful(rounding.replay, self.examples.spread(JUDGED_EXAMPLES).images(), bound)
        return bound

    def _draft(self, made: Transformed, plan: Plan) -> Manifest:
        """The source's manifest with the new bound; its metrics stay true of its weights only."""
        bound = graph_bound(Graph(made.trunk))
        calibration = {
            "source_sha256": self.source.file.content.sha256,
            "data": self.examples.source,
            "split": self.examples.split,
        }
        if plan.range_method:
            calibration["ranges"] = plan.range_method
        return dataclasses.replace(
            self.source.manifest,
            lipschitz=bound.lipschitz * (1 + MARGIN_OVER_COMPUTED),
            layers=bound.layers,
            numerics=Numerics(plan.precision, 0.0, "none"),
            metrics=self.source.manifest.metrics if plan.precision == "float32" else {},
            training={**self.source.manifest.training, "calibration": calibration},
        )

    def _opened(self, data: bytes) -> tuple[dict[str, Logits], dict[str, str]]:
        """The engines that can run a file, and why the others cannot.

        Raises:
            VerificationError: an engine that was asked for cannot, or none can.
        """
        opened: dict[str, Logits] = {}
        skipped: dict[str, str] = {}
        for name in self._engines:
            run = self._logits_of(name, data)
            if isinstance(run, str):
                skipped[name] = run
            else:
                opened[name] = run
        if not opened or (skipped and self.measurement.engines):
            name, why = next(iter(skipped.items()))
            raise VerificationError(f"engine {name!r} cannot run this precision ({why})")
        return opened, skipped

    def _logits_of(self, name: str, data: bytes) -> Logits | str:
        """The logits of an engine, or why it cannot run the file."""
        try:
            run = self._engines[name].open_graph(data, 0)
        except Exception as error:  # engines raise what they like
            return " ".join(str(error).split())[:200]
        return logits_of(run, self.source.manifest.budgets)


def _taken(meters: dict[str, EngineMeter], names: Iterable[str]) -> dict[str, EngineMeter]:
    """Remove some meters and return them."""
    return {name: meters.pop(name) for name in names}


class _Remembered:
    """An attack that returns what it found before: the frames of all precisions are the same."""

    def __init__(self, attack: Callable[[Frame], Frame]) -> None:
        self.attack = attack
        self.found: dict[bytes, Frame] = {}

    def __call__(self, frame: Frame) -> Frame:
        key = hashlib.sha256(frame.tobytes()).digest()
        if key not in self.found:
            self.found[key] = self.attack(frame)
        return self.found[key]
