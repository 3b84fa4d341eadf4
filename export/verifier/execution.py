"""What executes against float64: every engine on this machine, on frames of several kinds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

from lipdeploy.core.certificate import count_flips
from lipdeploy.core.errors import ArtefactError, VerificationError
from lipdeploy.core.manifest import Level, Numerics
from lipdeploy.core.radius import margin_from_logits, radius_from_margin
from lipdeploy.export.verifier.graph import Graph
from lipdeploy.export.verifier.head_check import head_spec
from lipdeploy.export.verifier.head_trial import check_head_run, head_model
from lipdeploy.export.verifier.parity import Frame, statistical_slack, synthetic_frames
from lipdeploy.export.verifier.replay import Replay
from lipdeploy.export.verifier.rounding_attack import ErrorMap, climb
from lipdeploy.runtime.measured_engines import measured_as, measured_engines
from lipdeploy.runtime.model_file import ModelFile
from lipdeploy.runtime.session import Run, Session, available_engines, engine_module

BUDGET_SPACING = 0.1  # budgets of the differential test of `flips`
ATTACK_STEPS_PER_FRAME = 2
SEED = 7
NO_CLAIM = "no claim"  # kind of an engine that failed where the file claims nothing


@dataclass(frozen=True)
class EngineError:
    """How far one engine is from float64 on one kind of frame.

    Attributes:
        engine: name, version and device.
        kind: `synthetic`, `calibration`, `attacked`, or `no claim` of an engine that failed.
        frames: frames compared.
        largest: largest error of a difference of two logits of one pixel.
        covered: whether the slack D of the file is at least that.
    """

    engine: str
    kind: str
    frames: int
    largest: float
    covered: bool


@dataclass(frozen=True)
class Plan:
    """How much to compare.

    Attributes:
        frames: synthetic frames, and half as many as the neighbours that the attack tries.
        images: calibration frames of the network's size.
        engines: names of those to run; none: all that work here.
    """

    frames: int
    images: Sequence[Frame] = ()
    engines: tuple[str, ...] = ()


def check_execution(file: ModelFile, graph: Graph, plan: Plan) -> tuple[EngineError, ...]:
    """Run the bytes of a file in every engine that works here, or in those of the plan.

    A level is `none` on an engine that the evidence does not name. Where such an engine was not
    asked for, what it gets wrong is told and fails nothing: nothing is claimed there.

    Raises:
        ArtefactError: the evidence names engines that are not here, and none here keeps to D.
        VerificationError: a radius above float64, a flip count below it, another mask where the
            margin is clear, or an error beyond the slack that the file's level rests on.
    """
    replay = Replay(graph)
    spec = head_spec(file.manifest)
    found: list[EngineError] = []
    for name in plan.engines or available_engines():
        engine = engine_module(name)
        rows: list[EngineError] = []
        try:
            check_head_run(engine.open_graph(head_model(spec, graph.opset), 0), spec)
            logits = engine.open_graph(with_logits(graph), 0)
            with engine.open_model(file, 0) as session:
                _Trial(session, logits, replay, file, rows).run(plan)
        except Exception:  # engines raise what they like
            if plan.engines or _claims(file.manifest.numerics, engine.ENGINE):
                raise
            rows.append(EngineError(engine.ENGINE, NO_CLAIM, 0, math.nan, False))
        found += rows
    if not covered_engines(found, file.manifest.numerics.level):
        named = ", ".join(measured_engines(file.manifest.numerics))
        if not named:
            raise VerificationError("no engine here keeps to the slack of the file; export it here")
        raise ArtefactError(
            f"the slack of the file was measured on {named}, and no engine here keeps to it; "
            "verify it where that works, or export it here"
        )
    return tuple(found)


def _claims(numerics: Numerics, engine: str) -> bool:
    """Whether the file itself, without any record, answers for what an engine computes."""
    return numerics.level == "none" or bool(measured_as(engine, numerics))


def covered_engines(errors: Sequence[EngineError], level: Level) -> tuple[str, ...]:
    """The engines on which everything held; level `none` has no slack to keep to."""
    failed = {row.engine for row in errors if level != "none" and not row.covered}
    return tuple(dict.fromkeys(row.engine for row in errors if row.engine not in failed))


def with_logits(graph: Graph) -> bytes:
    """The model with `logits` among its outputs: what an engine's error is measured on."""
    model = onnx.ModelProto()
    model.CopyFrom(graph.model)
    if all(output.name != "logits" for output in model.graph.output):
        info = helper.make_tensor_value_info("logits", TensorProto.FLOAT, graph.shape("logits"))
        model.graph.output.append(info)
    return bytes(model.SerializeToString())


class _Trial:
    """One engine under test."""

    def __init__(
        self,
        session: Session,
        logits: Run,
        replay: Replay,
        file: ModelFile,
        found: list[EngineError],
    ) -> None:
        self.session, self.logits, self.replay, self.found = session, logits, replay, found
        self.manifest = file.manifest
        self.worst: tuple[float, Frame | None] = (-1.0, None)
        self.squares, self.values = 0.0, 0

    def run(self, plan: Plan) -> None:
        """Compare on every kind of frame; the attack starts at the worst of the others."""
        h, w = self.manifest.height, self.manifest.width
        kinds = {"synthetic": list(synthetic_frames(plan.frames, h, w, SEED))}
        if plan.images:
            kinds["calibration"] = list(plan.images)
        for kind, frames in kinds.items():
            self._note(kind, len(frames), max(map(self.compare, frames)))
        steps = ATTACK_STEPS_PER_FRAME * plan.frames
        start = self.worst[1]
        if start is not None:
            moved, _ = climb(start, self.error, steps, SEED)
            self._note("attacked", steps, self.compare(moved))
        self._check_sigma()

    def _check_sigma(self) -> None:
        """What an engine that the evidence does not name must keep to, beside the largest error."""
        numerics = self.manifest.numerics
        if _claims(numerics, self.session.engine):
            return
        slack = statistical_slack(self.worst[0], math.sqrt(self.squares / max(self.values, 1)))
        if slack > numerics.slack:
            raise VerificationError(
                f"{self.session.engine} needs a slack of {slack:.3g} (8 sqrt(2) sigma), the file "
                f"has {numerics.slack:.3g}; export on this device"
            )

    def _note(self, kind: str, frames: int, largest: float) -> None:
        numerics = self.manifest.numerics
        row = EngineError(self.session.engine, kind, frames, largest, largest <= numerics.slack)
        self.found.append(row)
        if numerics.level != "none" and not row.covered:
            raise VerificationError(
                f"{row.engine} is off by {largest:.3g} on {kind} frames, more than the slack "
                f"{numerics.slack:.3g} of level {numerics.level!r}; export on this device"
            )

    def error(self, frame: Frame) -> ErrorMap:
        """Largest error of a logit difference at each pixel, shape (H, W)."""
        return self._errors(frame, self.replay(frame))

    def _errors(self, frame: Frame, exact: npt.NDArray[np.float64]) -> ErrorMap:
        eps = np.zeros(self.manifest.budgets, np.float32)
        (found,) = self.logits(["logits"], {"image": frame[None], "eps": eps})
        error = found[0].astype(np.float64) - exact
        self.squares += float(np.square(error).sum())
        self.values += error.size
        return np.asarray(np.nan_to_num(error.max(0) - error.min(0), nan=np.inf, posinf=np.inf))

    def compare(self, frame: Frame) -> float:
        """Check one frame; returns its largest error of a logit difference."""
        exact = self.replay(frame)
        self._check_outputs(frame, exact)
        largest = float(self._errors(frame, exact).max())
        if largest > self.worst[0]:
            self.worst = (largest, frame)
        return largest

    def _check_outputs(self, frame: Frame, logits: npt.NDArray[np.float64]) -> None:
        manifest = self.manifest
        margin, slack = margin_from_logits(logits), manifest.numerics.slack
        radius = radius_from_margin(margin, manifest.lipschitz)
        budgets = BUDGET_SPACING * np.arange(1, manifest.budgets + 1)
        result = self.session.infer(frame, budgets.tolist())
        above = result.radius > radius
        if above.any():
            place = tuple(int(i) for i in np.argwhere(above)[0])
            raise VerificationError(
                f"radius {result.radius[place]} at pixel {place} is above float64 {radius[place]}"
            )
        if (result.flips < count_flips(radius, budgets)).any():
            raise VerificationError(
                f"flips {result.flips} are below float64 {count_flips(radius, budgets)}"
            )
        if ((result.mask != logits.argmax(0)) & (margin > 2 * slack)).any():
            raise VerificationError("mask differs from float64 where the margin exceeds the slack")
