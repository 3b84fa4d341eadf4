"""What each precision costs: accuracy, certified accuracy, drift, L, D, size, speed, side by side.

All rows see the same images, one after the other, and the same engine; times are taken in turns in
one run, so that whatever else the machine does falls on all of them alike.
"""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from lipdeploy.calibration.examples import Examples
from lipdeploy.core.errors import LipdeployError
from lipdeploy.core.metrics import confusion_matrix, mean_iou
from lipdeploy.core.objectives import kept_share
from lipdeploy.core.ranking import rank
from lipdeploy.export.verifier.parity import Frame
from lipdeploy.runtime.session import Prediction, Session, open_session

SPEED_ROUNDS, WARM_UP = 30, 3


@dataclass
class Row:
    """One file.

    Attributes:
        precision: as in the contract.
        lipschitz: L.
        slack: D.
        level: on the engine of the table; below, nothing is claimed at `none`.
        size_bytes: of the file.
        pixel_accuracy: mean over images.
        miou: over all pixels.
        crpa: mean over images by eps; None at level `none`.
        changed_pixels: share of pixels whose class is not that of the first row.
        radius_drift: largest difference of a radius from the first row.
        milliseconds: median of one frame, by engine; None where it cannot run the file.
    """

    precision: str
    lipschitz: float
    slack: float
    level: str
    size_bytes: int
    pixel_accuracy: float = float("nan")
    miou: float = float("nan")
    crpa: dict[str, float | None] = field(default_factory=dict)
    changed_pixels: float = 0.0
    radius_drift: float = 0.0
    milliseconds: dict[str, float | None] = field(default_factory=dict)


def precision_table(
    files: Sequence[Path],
    examples: Examples,
    eps: Sequence[float],
    engines: Sequence[str],
    threads: int = 0,
) -> list[Row]:
    """Compare files, the first of which is the one that the others drift from.

    Args:
        files: verified files of one network.
        examples: what they are evaluated on.
        eps: budgets of CRPA.
        engines: names; the first evaluates, all are timed.
        threads: of one inference; 0: the engine chooses.

    Raises:
        LipdeployError: a file that the first engine cannot open.
    """
    with contextlib.ExitStack() as stack:
        sessions = [stack.enter_context(open_session(file, engines[0], threads)) for file in files]
        rows = [_row(session, file) for session, file in zip(sessions, files, strict=True)]
        _evaluate(rows, sessions, examples, eps)
    frame = next(examples.images())
    times = frame_times(files, engines, frame, threads)
    for row, file in zip(rows, files, strict=True):
        row.milliseconds = {engine: times.get((engine, file)) for engine in engines}
    return rows


def _row(session: Session, file: Path) -> Row:
    manifest = session.manifest
    numerics = manifest.numerics
    size = file.stat().st_size
    return Row(numerics.precision, manifest.lipschitz, numerics.slack, numerics.level, size)


def _evaluate(
    rows: Sequence[Row], sessions: Sequence[Session], examples: Examples, eps: Sequence[float]
) -> None:
    classes = len(examples.manifest.class_names)
    tallies = [_Tally(classes, eps) for _ in rows]
    for image, truth in examples:
        found = [session.infer(image, [0.0] * session.manifest.budgets) for session in sessions]
        for tally, prediction in zip(tallies, found, strict=True):
            tally.add(prediction, found[0], truth)
    for row, tally in zip(rows, tallies, strict=True):
        tally.conclude(row)


class _Tally:
    """Figures of one file over the images."""

    def __init__(self, classes: int, eps: Sequence[float]) -> None:
        self.eps = tuple(eps)
        self.confusion = np.zeros((classes, classes), np.int64)
        self.accuracies: list[float] = []
        self.kept: list[np.typing.NDArray[np.float64]] = []
        self.changed = self.pixels = 0
        self.drift = 0.0

    def add(
        self, found: Prediction, reference: Prediction, truth: np.typing.NDArray[np.uint8]
    ) -> None:
        confusion = confusion_matrix(truth, found.mask, len(self.confusion))
        self.confusion += confusion
        if confusion.sum():
            ranking = rank(truth, found.mask, found.radius)
            self.accuracies.append(float(np.trace(confusion) / confusion.sum()))
            self.kept.append(kept_share(ranking.accuracy(), np.asarray(self.eps, np.float64)))
        self.changed += int((found.mask != reference.mask).sum())
        self.pixels += found.mask.size
        distance = np.abs(found.radius.astype(np.float64) - reference.radius)
        self.drift = max(self.drift, float(distance.max()))

    def conclude(self, row: Row) -> None:
        """Write the figures; without labels those of accuracy stay empty."""
        row.changed_pixels = self.changed / max(1, self.pixels)
        row.radius_drift = self.drift
        if not self.kept:
            return
        row.pixel_accuracy = float(np.mean(self.accuracies))
        row.miou = mean_iou(self.confusion)
        means = np.mean(self.kept, axis=0)
        claims = row.level != "none"
        row.crpa = {
            str(budget): float(mean) if claims else None
            for budget, mean in zip(self.eps, means, strict=True)
        }


def frame_times(
    files: Sequence[Path], engines: Sequence[str], frame: Frame, threads: int = 0
) -> Mapping[tuple[str, Path], float]:
    """Median milliseconds of one inference, taken in turns; pairs that cannot run are left out."""
    with contextlib.ExitStack() as stack:
        sessions: dict[tuple[str, Path], Session] = {}
        for engine in engines:
            for file in files:
                with contextlib.suppress(LipdeployError):
                    session = open_session(file, engine, threads)
                    sessions[engine, file] = stack.enter_context(session)
        times: dict[tuple[str, Path], list[float]] = {key: [] for key in sessions}
        for _ in range(WARM_UP + SPEED_ROUNDS):
            for key, session in sessions.items():
                times[key].append(_milliseconds(session, frame))
    return {key: statistics.median(found[WARM_UP:]) for key, found in times.items()}


def _milliseconds(session: Session, frame: Frame) -> float:
    budgets = [0.0] * session.manifest.budgets
    start = time.perf_counter()
    session.infer(frame, budgets)
    return 1e3 * (time.perf_counter() - start)
