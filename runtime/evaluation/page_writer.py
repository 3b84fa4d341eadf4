"""Pictures of what a budget can do to single images."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from lipdeploy.core.errors import LipdeployError
from lipdeploy.runtime.evaluation.job import Job, Task
from lipdeploy.runtime.pictures import certificate_pictures
from lipdeploy.runtime.session import Session

_LONGEST_STEM = 120  # file names end at 255 bytes
PAGES = ("regions", "worst_fnr", "vanishing")


def write_pages(session: Session, job: Job, count: int, folder: Path) -> None:
    """Draw the first `count` images of a job to FOLDER/pictures, under the largest budget.

    Files are called INDEX_NAME_KEY.png, a key a page.

    Raises:
        LipdeployError: a picture cannot be written.
    """
    target = folder / "pictures"
    target.mkdir(parents=True, exist_ok=True)
    for task in job.tasks[:count]:
        _write_image(session, job, task, target)


def clear_pages(folder: Path) -> None:
    """Remove the pages that an earlier run wrote to FOLDER/pictures."""
    for key in PAGES:
        for path in (folder / "pictures").glob(f"[0-9]*_{key}.png"):
            path.unlink()


def _write_image(session: Session, job: Job, task: Task, target: Path) -> None:
    image, truth = job.read(task)
    found = session.infer(image, [0.0] * session.manifest.budgets)
    eps = max(job.header.questions.eps)
    pages = certificate_pictures(image, truth, found, session.manifest, eps)
    stem = Path(task.name).with_suffix("").as_posix().replace("/", "_")[-_LONGEST_STEM:]
    for key, page in pages.items():
        path = target / f"{task.index:06d}_{stem}_{key}.png"
        if not cv2.imwrite(str(path), np.ascontiguousarray(page[..., ::-1])):
            raise LipdeployError(f"{path} could not be written; check the folder and free space")
