"""What `lipdeploy certify` does with its flags: a job, who computes it, where its records go."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from lipdeploy.cli.certify_audit import open_audit
from lipdeploy.core.dataset import load_dataset
from lipdeploy.core.errors import InputError
from lipdeploy.runtime.evaluation.job import Job, make_job
from lipdeploy.runtime.evaluation.page_writer import clear_pages, write_pages
from lipdeploy.runtime.evaluation.questions import Questions
from lipdeploy.runtime.evaluation.roi import load_roi
from lipdeploy.runtime.evaluation.shards import parse_shard
from lipdeploy.runtime.evaluation.spool import Spool, write_spool
from lipdeploy.runtime.session import Session, check_level, checked_eps, open_session

Progress = Callable[[int], object]


@dataclass(frozen=True)
class Flags:
    """What the command line asks of a run."""

    model: Path
    data: Path
    split: str
    eps: tuple[float, ...]
    gammas_accuracy: tuple[float, ...]
    gammas_fnr: tuple[float, ...]
    roi: Path | None
    pictures: int
    shard: str | None
    use_ray: bool
    ray_address: str | None
    workers: int
    engine: str | None
    threads: int | None
    audit: bool
    unverified: bool
    trust: tuple[Path, ...]

    def questions(self, class_names: tuple[str, ...]) -> Questions:
        """Budgets ascending, everything once."""
        eps = tuple(sorted({checked_eps(value) for value in self.eps}))
        accuracy, fnr = (tuple(dict.fromkeys(g)) for g in (self.gammas_accuracy, self.gammas_fnr))
        return Questions(class_names, eps, accuracy, fnr)

    def open(self) -> Session:
        """The model, admitted on the terms that the user set.

        Raises:
            LipdeployError: the file cannot be used, or claims more than it has shown.
        """
        if self.audit:
            if self.use_ray:
                raise InputError("--audit runs on this machine; leave out --ray")
            if self.engine:
                raise InputError(
                    f"--audit computes in float64, not on {self.engine}; leave out --engine, or "
                    "give --frames in place of --data to hold the engine against float64"
                )
            return open_audit(self.model, self.unverified, self.trust)
        session = open_session(self.model, self.engine, self.threads or 0)
        check_level(session, self.unverified, self.trust)
        return session


def prepare(flags: Flags, session: Session) -> Job:
    """Check everything that can be checked before the first image.

    Raises:
        LipdeployError: a flag, the data set, the model or the region of interest cannot be used.
    """
    dataset = load_dataset(flags.data)
    shard = parse_shard(flags.shard) if flags.shard else (1, 1)
    height, width = session.manifest.height, session.manifest.width
    roi = load_roi(flags.roi, height, width) if flags.roi else None
    questions = flags.questions(session.manifest.class_names)
    return make_job(session, dataset, flags.split, questions, shard, roi)


def compute(flags: Flags, session: Session, job: Job, path: Path) -> Spool:
    """Write the records of a job to `path` with a progress bar."""
    length = len(job.tasks)
    with contextlib.ExitStack() as stack:
        bar = click.progressbar(length=length, label="certifying", file=sys.stderr)
        progress = stack.enter_context(bar).update
        if flags.use_ray:
            lines = _lines_on_ray(flags, job, progress, stack)
        else:
            lines = job.lines(session, progress)
        return write_spool(path, job.header, lines)


def draw(flags: Flags, session: Session, job: Job, folder: Path) -> None:
    """Draw the first images to FOLDER/pictures; pages of an earlier run go."""
    clear_pages(folder)
    if flags.pictures:
        write_pages(session, job, flags.pictures, folder)


def _lines_on_ray(
    flags: Flags, job: Job, progress: Progress, stack: contextlib.ExitStack
) -> Iterator[str]:
    from lipdeploy.runtime.evaluation.ray_job import ray_lines

    threads = flags.threads or 1
    terms = (flags.unverified, tuple(key.resolve() for key in flags.trust))
    lines = ray_lines(
        flags.model, terms, job, flags.workers, threads, progress, flags.ray_address, flags.engine
    )
    return stack.enter_context(contextlib.closing(lines))
