"""A certification job: which images, under which questions; and the work on one image."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lipdeploy.core.dataset import Dataset, Pair, read_pair
from lipdeploy.core.errors import InputError
from lipdeploy.runtime.evaluation.certify_image import certify_image
from lipdeploy.runtime.evaluation.header import Header, examples_digest
from lipdeploy.runtime.evaluation.questions import Questions
from lipdeploy.runtime.evaluation.record import Record
from lipdeploy.runtime.evaluation.roi import RegionOfInterest
from lipdeploy.runtime.session import Session


@dataclass(frozen=True)
class Task:
    """One image of the split: its place, its name in the split's folder, its files."""

    index: int
    name: str
    pair: Pair


@dataclass(frozen=True)
class Job:
    """A part of a data set to certify.

    Attributes:
        header: what the spool will say of itself.
        tasks: the images of this part, in order of index.
        roi: where labels count; None for everywhere.
    """

    header: Header
    tasks: Sequence[Task]
    roi: RegionOfInterest | None = None

    def read(self, task: Task) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
        """Image (H, W, 3) and labels (H, W) at the network's size, ignored outside the roi.

        Raises:
            InputError: a file that cannot be read, or a mask that does not fit.
        """
        manifest = self.header.manifest
        classes = len(manifest.class_names)
        image, truth = read_pair(task.pair, classes, manifest.height, manifest.width)
        return image, self.roi.restrict(truth) if self.roi else truth

    def certify(self, session: Session, task: Task) -> Record:
        """Run one image through the file and certify the prediction against the labels."""
        image, truth = self.read(task)
        found = session.infer(image, [0.0] * session.manifest.budgets)
        asked = self.header.questions
        # Of a file that nothing vouches for no pixel is claimed: every radius counts as 0.
        radius = found.radius if self.header.claims else np.zeros_like(found.radius)
        certificates = certify_image(
            truth,
            found.mask,
            radius,
            asked.class_names,
            asked.eps,
            asked.gammas_accuracy,
            asked.gammas_fnr,
            asked.grid,
        )
        return Record(task.index, task.name, certificates)

    def lines(self, session: Session, progress: Callable[[int], object]) -> Iterator[str]:
        """The lines of the spool, one image after the other.

        Raises:
            InputError: the session is of another model than the header names.
        """
        if model_of(session) != self.header.model:
            raise InputError(f"{session.name} changed since the run began; run it again")
        for task in self.tasks:
            yield self.certify(session, task).to_line()
            progress(1)


def model_of(session: Session) -> tuple[str, dict[str, str]]:
    """`Header.model` of an open session."""
    return session.standing.content_sha256, session.manifest.to_metadata()


def make_job(
    session: Session,
    dataset: Dataset,
    split: str,
    questions: Questions,
    shard: tuple[int, int] = (1, 1),
    roi: RegionOfInterest | None = None,
) -> Job:
    """The job of a shard (i, n): every n-th image of the split, for the model of a session.

    Raises:
        InputError: unknown split, no images, or other classes than the model's.
    """
    manifest = session.manifest
    if manifest.class_names != dataset.class_names:
        raise InputError(
            f"the model has classes {', '.join(manifest.class_names)}; "
            f"{dataset.source} has {', '.join(dataset.class_names)}; they must be the same"
        )
    folder = dataset.splits.get(split, Path())
    pairs = dataset.pairs(split)
    names = [_name_in(folder, pair.image) for pair in pairs]
    header = Header(
        manifest,
        session.standing.content_sha256,
        questions,
        dataset.source.name,
        examples_digest(names, pairs),
        split,
        len(pairs),
        roi.identity if roi else None,
        shard,
    )
    return Job(header, [Task(i, names[i], pairs[i]) for i in header.indices], roi)


def _name_in(folder: Path, image: Path) -> str:
    return image.relative_to(folder).as_posix() if image.is_relative_to(folder) else image.name
