"""A built plan against float64: the engine that will run, not the recipe that made it.

A plan has no `logits` unless the file was exported with them, and another build of the same file
is another engine. So the error is read off the plan's own `radius`: the head's arithmetic is known,
and inverting it gives the margin that the plan saw. Where radius is 0 that margin is at most 2 D,
and float64's excess over 2 D is the least error that explains it.
"""

from __future__ import annotations

import datetime as dt
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from lipdeploy import __version__
from lipdeploy.core.certificate import count_flips
from lipdeploy.core.errors import VerificationError
from lipdeploy.core.manifest import Manifest
from lipdeploy.core.radius import margin_from_logits, radius_from_margin
from lipdeploy.core.single_precision import float32_down, float32_up
from lipdeploy.export.verifier.graph import Graph
from lipdeploy.export.verifier.parity import Frame, statistical_slack, synthetic_frames
from lipdeploy.export.verifier.replay import Replay
from lipdeploy.export.verifier.rounding_attack import ErrorMap, climb
from lipdeploy.runtime.plan_record import PlanVerification

FRAMES = 12
ATTACK_STEPS_PER_FRAME, ATTACKED_FRAMES = 2, 100
NOISE_LEVELS = (1, 2, 8)  # grey levels added to or taken from every value
BUDGET_SPACING = 0.1
SEED = 11

MEASURE = (
    "measure D here: `lipdeploy calibrate FLOAT32.onnx NEW.onnx --engine tensorrt --data D.yaml "
    "--precision float32`, or another precision, and build NEW.onnx"
)

Logits = npt.NDArray[np.float64]


class Runnable(Protocol):
    """A plan that is open on its device."""

    engine: str

    def outputs(
        self, image: npt.NDArray[np.uint8], eps: Sequence[float]
    ) -> dict[str, npt.NDArray[Any]]:
        """Every output as it is."""


@dataclass(frozen=True)
class _Head:
    """The float32 constants between margin and radius, see `lipdeploy.export.head`."""

    shrink: float
    twice_slack: float
    scale: float

    def margin(self, radius: npt.NDArray[np.float32]) -> Logits:
        """The margin that gives a positive radius."""
        usable = radius.astype(np.float64) / self.scale
        return np.asarray((usable + self.twice_slack) / self.shrink)


def _head(manifest: Manifest) -> _Head:
    factor = (1 - 2.0**-22) / (math.sqrt(2.0) * manifest.lipschitz)
    shrink, scale = float32_down(np.array([1 - 2.0**-22, factor])).astype(np.float64)
    twice = float32_up(np.array([2 * manifest.numerics.slack])).astype(np.float64)
    return _Head(float(shrink), float(twice[0]), float(scale))


def check_plan(
    plan: Runnable,
    graph: Graph,
    manifest: Manifest,
    device: str,
    images: Sequence[Frame] = (),
    frames: int = FRAMES,
    progress: Callable[[int], object] = lambda _: None,
) -> PlanVerification:
    """Compare a plan with float64 on generated, calibration, perturbed and attacked frames.

    Args:
        plan: open on its device.
        graph: of the ONNX file that it was built from.
        manifest: of that file, with the slack D that has to cover every error.
        device: what the plan runs on.
        images: calibration frames of the network's size.
        frames: generated frames; the attack on rounding tries twice as many, 200 at most.
        progress: called with 1 for every frame compared.

    Raises:
        VerificationError: a radius above float64's, a count of flips below it, another mask where
            the margin is clear, or an error that the slack does not cover.
    """
    trial = _Trial(plan, Replay(graph), manifest)
    generated = synthetic_frames(frames, manifest.height, manifest.width, SEED)
    count = 0
    for count, frame in enumerate(itertools.chain(images, generated), 1):
        trial.compare(frame, "clean")
        trial.compare(_perturbed(frame, count), "perturbed")
        progress(2)
    trial.check_spread()
    steps = ATTACK_STEPS_PER_FRAME * min(frames, ATTACKED_FRAMES)
    moved, _ = climb(trial.worst[1], trial.error, steps, SEED)
    trial.compare(moved, "attacked")
    return PlanVerification(
        verified=True,
        device=device,
        frames=count,
        perturbed_frames=count,
        rounding_attacked_frames=steps,
        largest_error=trial.worst[0],
        sigma=trial.sigma,
        slack=manifest.numerics.slack,
        lipdeploy=__version__,
        time=dt.datetime.now(dt.timezone.utc).isoformat(timespec="seconds"),
    )


def _perturbed(frame: Frame, index: int) -> Frame:
    """The frame with random signs of one of `NOISE_LEVELS` added."""
    rng = np.random.default_rng((SEED, index))
    signs = rng.choice((-1, 1), frame.shape) * NOISE_LEVELS[index % len(NOISE_LEVELS)]
    return np.asarray(np.clip(frame + signs, 0, 255), np.uint8)


class _Trial:
    def __init__(self, plan: Runnable, replay: Replay, manifest: Manifest) -> None:
        self.plan, self.replay, self.manifest = plan, replay, manifest
        self.head = _head(manifest)
        self.budgets = BUDGET_SPACING * np.arange(1, manifest.budgets + 1)
        self.worst: tuple[float, Frame] = (-1.0, np.zeros((0,), np.uint8))
        self.squares, self.values = 0.0, 0

    @property
    def sigma(self) -> float:
        """Root mean square error of a logit: a margin is a difference of two.

        Over the pixels that show theirs: where radius is 0, an error up to 2 D stays hidden.
        """
        return math.sqrt(self.squares / max(self.values, 1) / 2)

    def check_spread(self) -> None:
        """Raises VerificationError where the slack is less than the rule for its level asks."""
        needed, slack = statistical_slack(self.worst[0], self.sigma), self.manifest.numerics.slack
        if not needed <= slack:
            raise VerificationError(
                f"{self.plan.engine} has errors of sigma {self.sigma:.3g}, which calls for a slack "
                f"of {needed:.3g}; the model has {slack:.3g}; {MEASURE}"
            )

    def error(self, frame: Frame) -> ErrorMap:
        """At each pixel, the error of a margin that the plan's outputs show; shape (H, W)."""
        return self._error(self._outputs(frame), self.replay(frame))

    def _outputs(self, frame: Frame) -> dict[str, npt.NDArray[Any]]:
        return self.plan.outputs(frame, self.budgets.tolist())

    def _error(self, found: dict[str, npt.NDArray[Any]], exact: Logits) -> ErrorMap:
        margin, radius = margin_from_logits(exact), found["radius"][0]
        other = found["mask"][0] != exact.argmax(0)
        seen = np.where(other, 0.0, self.head.margin(radius))
        hidden = np.maximum(margin - self.head.twice_slack / self.head.shrink, 0.0)
        error = np.where(radius > 0, np.abs(seen - margin), hidden)
        error = np.where(other, np.maximum(error, margin), error)
        if "logits" in found:
            whole = found["logits"][0].astype(np.float64) - exact
            error = np.maximum(error, whole.max(0) - whole.min(0))
        return np.asarray(np.nan_to_num(error, nan=np.inf, posinf=np.inf))

    def compare(self, frame: Frame, kind: str) -> None:
        """Check one frame.

        Raises:
            VerificationError: what does not hold.
        """
        exact, found = self.replay(frame), self._outputs(frame)
        self._check_claims(found, exact, kind)
        error = self._error(found, exact)
        largest = float(error.max())
        self.squares += float(np.square(error).sum())
        self.values += int(((found["radius"][0] > 0) | (error > 0)).sum())
        slack = self.manifest.numerics.slack
        if not largest <= slack:
            raise VerificationError(
                f"{self.plan.engine} is off by {largest:.3g} on {kind} frames, more than the slack "
                f"{slack:.3g} of the model covers; {MEASURE}"
            )
        if largest > self.worst[0]:
            self.worst = (largest, frame)

    def _check_claims(self, found: dict[str, npt.NDArray[Any]], exact: Logits, kind: str) -> None:
        manifest, engine = self.manifest, self.plan.engine
        margin = margin_from_logits(exact)
        radius = radius_from_margin(margin, manifest.lipschitz)
        above = ~(found["radius"][0] <= radius)
        if above.any():
            place = tuple(int(i) for i in np.argwhere(above)[0])
            raise VerificationError(
                f"{engine} gives radius {found['radius'][0][place]} at pixel {place} of a {kind} "
                f"frame, float64 {radius[place]}; this plan over-claims"
            )
        if not (found["flips"][0] >= count_flips(radius, self.budgets)).all():
            raise VerificationError(f"{engine} counts too few flips on a {kind} frame")
        clear = margin > 2 * manifest.numerics.slack
        if ((found["mask"][0] != exact.argmax(0)) & clear).any():
            raise VerificationError(
                f"{engine} gives another mask on a {kind} frame where the margin is clear"
            )
