"""Runs the points of a sweep side by side; a run that fails leaves the others alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass

from lipdeploy.core.errors import LipdeployError
from lipdeploy.training.sweep import Run
from lipdeploy.training.sweep_record import Row, finished_row, record_run, unfinished_row

Launch = Callable[[Run], int]
Stopped = Callable[[], bool]


@dataclass(frozen=True)
class Outcome:
    """How one run of the sweep ended.

    Attributes:
        run: what was to be trained.
        row: its figures; `state` is done, stopped or failed.
        reason: of a failure, one line.
        skipped: it was done before.
    """

    run: Run
    row: Row
    reason: str = ""
    skipped: bool = False


def outcomes(runs: Sequence[Run], launch: Launch, jobs: int, stopped: Stopped) -> Iterator[Outcome]:
    """Train what is not finished, `jobs` at a time, and yield each run as it ends.

    Args:
        runs: with folders of their own.
        launch: trains a run, from where it stopped if it did, and returns its exit code. Called
            from several threads.
        jobs: runs at a time.
        stopped: whether to start no more.

    Raises:
        InputError: a folder holds a finished run with other options; nothing is trained then.
    """
    before = [(run, finished_row(run)) for run in runs]
    for run, row in before:
        if row is not None:
            yield Outcome(run, row, skipped=True)
    with ThreadPoolExecutor(jobs) as pool:
        left = [run for run, row in before if row is None]
        futures = [pool.submit(_outcome, run, launch, stopped) for run in left]
        for future in as_completed(futures):
            yield future.result()


def _outcome(run: Run, launch: Launch, stopped: Stopped) -> Outcome:
    if stopped():
        return Outcome(run, unfinished_row(run, "stopped"))
    try:
        code = launch(run)
        row = record_run(run) if code == 0 else None
    except (LipdeployError, OSError, ValueError, KeyError) as error:
        return Outcome(run, unfinished_row(run, "failed"), f"{type(error).__name__}: {error}")
    if row is not None:
        return Outcome(run, row)
    if code == 0 or stopped():
        return Outcome(run, unfinished_row(run, "stopped"))
    return Outcome(run, unfinished_row(run, "failed"), f"exit code {code}")
