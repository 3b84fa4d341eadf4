"""Opens what `lipdeploy stream` names, runs it until the end or a signal, prints the summary."""

from __future__ import annotations

import contextlib
import json
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import click

from lipdeploy.cli.stream_audit import drift_monitor
from lipdeploy.cli.stream_summary import summary
from lipdeploy.core.errors import InputError
from lipdeploy.runtime.controls import Controls
from lipdeploy.runtime.report import StreamReport
from lipdeploy.runtime.session import check_level, open_session
from lipdeploy.runtime.sinks import SinkContext, open_sinks
from lipdeploy.runtime.sources import open_sources
from lipdeploy.runtime.sources.address import named_address
from lipdeploy.runtime.sources.paths import files_named
from lipdeploy.runtime.spare_cores import leave_cores_to_the_model
from lipdeploy.runtime.status import StatusLink
from lipdeploy.runtime.stream import Stream, StreamOptions
from lipdeploy.runtime.supervisor import supervisor_of


@dataclass(frozen=True)
class StreamJob:
    """What to open, and how.

    Attributes:
        model: an `.onnx` file.
        sources: one address, or several.
        sinks: where results go.
        options: how to stream.
        engine: what runs the model; None for the default of the file's kind.
        threads: of one inference; 0 lets the engine choose.
        as_json: print the summary as JSON, and the rest on standard error.
        trust: public keys, one of which must have signed the model's record.
        audit_every: how often a frame is evaluated again in float64.
    """

    model: Path
    sources: tuple[str, ...]
    sinks: tuple[str, ...]
    options: StreamOptions
    engine: str | None = None
    threads: int = 0
    as_json: bool = False
    trust: Sequence[Path] = ()
    audit_every: int | None = None


def run_job(job: StreamJob) -> StreamReport:
    """Open everything, stream to the end or Ctrl-C; print the summary, also after a failure."""
    for position, source in enumerate(job.sources):
        check_not_overwritten(named_address(source, position)[1], job.sinks)
    leave_cores_to_the_model()
    with contextlib.ExitStack() as stack:
        session = stack.enter_context(open_session(job.model, job.engine, job.threads))
        check_level(session, job.options.unverified, job.trust)
        drift = drift_monitor(session, job.model, job.audit_every) if job.audit_every else None
        opened = open_sources(job.sources)
        stack.callback(opened.close)
        click.echo(f"Source: {opened.describe()}", err=job.as_json)
        controls, status = Controls(job.options.eps), StatusLink()
        names = session.manifest.class_names
        context = SinkContext(opened.fps, names, status, controls, opened.live)
        outputs = open_sinks(job.sinks, context)
        supervisor = stack.enter_context(contextlib.closing(supervisor_of()))
        stream = Stream(session, opened, outputs, job.options, controls, supervisor, drift)
        status.bind(stream.status)
        stack.enter_context(stopped_by_signals(stream))
        try:
            return stream.run()
        finally:
            report = stream.report
            click.echo(json.dumps(report.to_json()) if job.as_json else summary(report))


def check_not_overwritten(source: str, sinks: tuple[str, ...]) -> None:
    """Refuse to record over the source.

    Raises:
        InputError: a sink is a file of the source, or its folder of images.
    """
    origins = {path.resolve() for path in files_named(source)}
    for sink in sinks:
        name = sink.removeprefix("jsonl:").removeprefix("mcap:").partition("?rotate=")[0]
        target = Path(name).expanduser()
        into_folder = "%" in target.name and target.parent.resolve() in origins
        if into_folder or target.resolve() in origins:
            raise InputError(f"sink {sink} would overwrite the source {source}; name another")


@contextlib.contextmanager
def stopped_by_signals(stream: Stream) -> Iterator[None]:
    """The first Ctrl-C or SIGTERM ends the stream in order, the second aborts it."""
    asked = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        stream.stop()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
