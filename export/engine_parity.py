"""The errors of several engines on the same frames, against one float64 replay of each."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from lipdeploy.export.verifier.parity import Frame, Logits, Parity
from lipdeploy.export.verifier.rounding_attack import ErrorMap, climb
from lipdeploy.runtime.session import Run

SEED = 11

Progress = Callable[[int], object]


class EngineMeter:
    """Errors of logit differences of one engine, summed up frame by frame.

    Attributes:
        worst: the frame on which the engine was furthest off; None before the first.
        attacked_rounding: neighbours tried against the rounding of this engine.
    """

    def __init__(self, engine: Logits) -> None:
        self._engine = engine
        self._frames = self._attacked = self._values = 0
        self._squares = self._scale = 0.0
        self._largest = -1.0
        self.worst: Frame | None = None
        self.attacked_rounding = 0

    def add(self, frame: Frame, exact: npt.NDArray[Any], attacked: bool) -> None:
        """Compare on one frame with its float64 logits."""
        error = np.asarray(self._engine(frame), np.float64) - exact
        self._frames += 1
        self._attacked += attacked
        self._values += error.size
        self._squares += float(np.square(error).sum())
        self._scale = max(self._scale, float(np.abs(exact).max()))
        self._keep(frame, float(_difference_errors(error).max()))

    def attack(self, reference: Logits, steps: int) -> None:
        """Climb from the worst frame towards a larger error, in `steps` neighbours."""
        if self.worst is None:
            return

        def error(frame: Frame) -> ErrorMap:
            found = np.asarray(self._engine(frame), np.float64) - reference(frame)
            return _difference_errors(found)

        frame, largest = climb(self.worst, error, steps, SEED)
        self.attacked_rounding += steps
        self._keep(frame, largest)

    @property
    def parity(self) -> Parity:
        """What was found; infinite where a logit was no number."""
        if not math.isfinite(self._squares):
            return Parity(self._frames, self._attacked, math.inf, math.inf, math.inf)
        sigma = math.sqrt(self._squares / max(self._values, 1))
        largest = max(self._largest, 0.0)
        return Parity(self._frames, self._attacked, largest, sigma, self._scale)

    def _keep(self, frame: Frame, largest: float) -> None:
        if largest > self._largest:
            self._largest, self.worst = largest, frame


def _difference_errors(error: npt.NDArray[np.float64]) -> ErrorMap:
    """Largest error of a logit difference at each pixel, infinite where it is no number."""
    return np.asarray(np.nan_to_num(error.max(0) - error.min(0), nan=np.inf, posinf=np.inf))


def measure_engines(
    engines: Mapping[str, Logits],
    reference: Logits,
    frames: Iterable[tuple[Frame, bool]],
    rounding_steps: int,
    progress: Progress = lambda _: None,
) -> dict[str, EngineMeter]:
    """Compare every engine with float64 on the same (frame, attacked) pairs, then attack each.

    Args:
        engines: by name.
        reference: the float64 replay; called once a frame, whatever the number of engines.
        frames: shape (H, W, 3), and whether an attack made it.
        rounding_steps: neighbours that the attack on the rounding of each engine tries.
        progress: called with 1 after each frame.
    """
    meters = {name: EngineMeter(engine) for name, engine in engines.items()}
    for frame, attacked in frames:
        exact = reference(frame)
        for meter in meters.values():
            meter.add(frame, exact, attacked)
        progress(1)
    for meter in meters.values():
        meter.attack(reference, rounding_steps)
    return meters


def logits_of(run: Run, budgets: int) -> Logits:
    """What an engine says of one frame, of a graph with the output `logits`.

    Args:
        run: the graph, loaded by the engine.
        budgets: length of its input `eps`.
    """
    eps = np.zeros(budgets, np.float32)

    def logits(frame: Frame) -> npt.NDArray[np.float32]:
        (found,) = run(["logits"], {"image": frame[None], "eps": eps})
        return np.asarray(found[0], np.float32)

    return logits
