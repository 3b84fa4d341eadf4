"""The images of a job on a Ray cluster. The only file of this room that needs Ray."""

from __future__ import annotations

import dataclasses
import logging
import os
import socket
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray
import ray.data
import ray.exceptions

from lipdeploy.core import errors
from lipdeploy.core.dataset import Pair
from lipdeploy.core.errors import InputError, LipdeployError
from lipdeploy.core.mask_file import LabelMap
from lipdeploy.runtime.evaluation.job import Job, Task, model_of
from lipdeploy.runtime.session import Session, check_level, open_session

OBJECT_STORE_BYTES = 128 * 2**20  # of a cluster of our own; it only ever holds records
IMAGES_PER_BLOCK = 16
CONNECT_SECONDS = 10.0
# Of a cluster of our own: no usage reports, and no remarks of Ray's core on Ray's own actors.
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_BACKEND_LOG_LEVEL": "fatal"}

Batch = Mapping[str, Any]
Terms = tuple[bool, tuple[Path, ...]]


def ray_lines(
    model: Path,
    terms: Terms,
    job: Job,
    workers: int,
    threads: int,
    progress: Callable[[int], object],
    address: str | None = None,
    engine: str | None = None,
) -> Generator[str, None, None]:
    """The lines of the spool, as `Job.lines` gives them, computed by `workers` actors.

    Every worker opens the model once and reads the images itself, so on a cluster of many machines
    the model and the data have to lie at the same absolute paths on all of them.

    Args:
        model: the model file.
        terms: `unverified` and `trust` of `check_level`.
        job: what to do.
        workers: actors, each one CPU of the cluster.
        threads: of one inference.
        progress: called with 1 after every image.
        address: of a running cluster; None for `RAY_ADDRESS`, or else a cluster of our own on this
            machine for the time of the call.
        engine: of every worker; see `open_session`.

    Raises:
        LipdeployError: what a worker raised, or a cluster that cannot be reached or broke down.
    """
    labels = list(dict.fromkeys(task.pair.labels for task in job.tasks))
    items = [
        {
            "index": task.index,
            "name": task.name,
            "image": str(task.pair.image.resolve()),
            "mask": str(task.pair.mask.resolve()),
            "labels": labels.index(task.pair.labels),
        }
        for task in job.tasks
    ]
    if not items:
        return
    try:
        with _cluster(address, workers):
            for row in _rows(model, terms, job, items, labels, workers, (threads, engine)):
                _raise_error_of(row)
                yield row["record"]
                progress(1)
    except ray.exceptions.RayError as error:
        why = _first_line(error)
        raise LipdeployError(f"the Ray job failed ({why}); see the cluster's logs") from error


@contextmanager
def _cluster(address: str | None, workers: int) -> Iterator[None]:
    """Connect to a cluster or start one; what begins here ends with the block."""
    if ray.is_initialized():
        yield
        return
    running = address or os.environ.get("RAY_ADDRESS")
    _check_reachable(running or "")
    for key, value in () if running else QUIET.items():
        os.environ.setdefault(key, value)
    try:
        ray.init(
            address=running or "local",
            num_cpus=None if running else workers,
            object_store_memory=None if running else OBJECT_STORE_BYTES,
            include_dashboard=None if running else False,
            logging_level=logging.ERROR,
            log_to_driver=False,
        )
    except (ConnectionError, RuntimeError, ValueError) as error:
        where = running or "on this machine"
        raise LipdeployError(f"no Ray cluster {where} ({_first_line(error)}); start one") from error
    try:
        yield
    finally:
        ray.shutdown()


def _check_reachable(address: str) -> None:
    """Fail in seconds where Ray itself would knock for minutes."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not port.isdigit():
        return
    try:
        socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise LipdeployError(f"no Ray cluster {address} ({error}); start one") from error


def _rows(
    model: Path,
    terms: Terms,
    job: Job,
    items: list[dict[str, Any]],
    labels: Sequence[LabelMap | None],
    workers: int,
    running: tuple[int, str | None],
) -> Iterator[dict[str, Any]]:
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.execution_options.preserve_order = True  # the spool is in order of index
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    blocks = max(min(len(items), 4 * workers), -(-len(items) // IMAGES_PER_BLOCK))
    without_tasks = dataclasses.replace(job, tasks=())
    images = ray.data.from_items(items, override_num_blocks=blocks)
    records = images.map_batches(
        Certifier,
        fn_constructor_args=(model.resolve(), terms, without_tasks, labels, running),
        batch_size=None,
        compute=ray.data.ActorPoolStrategy(size=workers),
        num_cpus=1,
    )
    yield from records.iter_rows()


class Certifier:
    """One worker: a session, and the records of the images it is given."""

    def __init__(
        self,
        model: Path,
        terms: Terms,
        job: Job,
        labels: Sequence[LabelMap | None],
        running: tuple[int, str | None],
    ) -> None:
        self._model, self._terms, self._job = model, terms, job
        self._threads, self._engine = running
        self._labels = labels
        self._session: Session | None = None

    def __call__(self, batch: Batch) -> Iterator[dict[str, list[str]]]:
        """A row an image: its record, or the kind and the message of what went wrong."""
        columns = (batch[key] for key in ("index", "name", "image", "mask", "labels"))
        for index, name, image, mask, labels in zip(*columns, strict=True):
            pair = Pair(Path(image), Path(mask), self._labels[int(labels)])
            task = Task(int(index), str(name), pair)
            try:
                line, kind, message = self._line(task), "", ""
            except (LipdeployError, OSError) as error:
                line, kind, message = "", type(error).__name__, str(error)
            yield {"record": [line], "kind": [kind], "message": [message]}

    def _line(self, task: Task) -> str:
        if self._session is None:
            self._session = open_session(self._model, self._engine, self._threads)
            check_level(self._session, *self._terms)
            if model_of(self._session) != self._job.header.model:
                raise InputError(f"{self._model} is another file on a worker; copy it everywhere")
        return self._job.certify(self._session, task).to_line()


def _raise_error_of(row: Mapping[str, Any]) -> None:
    if row["kind"]:
        raise getattr(errors, row["kind"], LipdeployError)(row["message"])


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
