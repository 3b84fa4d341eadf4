"""`lipdeploy stream`: a video source through a model, with what is certified drawn on it."""

from __future__ import annotations

import contextlib
import json
import signal
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path
from types import FrameType

import click

from lipdeploy.cli.trust import TRUST, UNVERIFIED
from lipdeploy.core.errors import InputError
from lipdeploy.core.figures import percent_at_least
from lipdeploy.runtime.report import StreamReport
from lipdeploy.runtime.session import check_level, open_session
from lipdeploy.runtime.sinks import SinkContext, open_sinks
from lipdeploy.runtime.sources import open_source
from lipdeploy.runtime.stream import Stream, StreamOptions, check_options
from lipdeploy.runtime.views import VIEWS, checked_view

BUNDLED_MODEL = "scene_s.onnx"

EPILOG = """
\b
Examples:
  lipdeploy stream --source 0 --eps 0.25 --sink out.mkv
  lipdeploy stream --source drive.mp4 --model m.onnx --sink jsonl:drive.jsonl --json
  lipdeploy stream --source drive.mp4 --show radius --sink radius.mp4
  lipdeploy stream --source 'test://scene?duration=4s&fault=freeze@1s'

\b
Sources: 0, /dev/video0, a video, image or folder, 'glob/*.jpg', rtsp://, http://, test://scene
Sinks: out.mp4, out.mkv, out.avi, folder/, frame_%06d.png, jsonl:frames.jsonl, null
"""


@click.command("stream", epilog=EPILOG, short_help="Stream video through a model.")
@click.option("--source", required=True, help="Camera, video, images, URL or test://scene.")
@click.option(
    "--eps",
    type=float,
    default=0.25,
    show_default=True,
    help="Budget, l2 at the network's input, images in [0,1].",
)
@click.option(
    "--model",
    type=click.Path(path_type=Path),
    help="An .onnx file of `lipdeploy export`; the bundled one if left out.",
)
@click.option(
    "--sink",
    "sinks",
    multiple=True,
    help="Where results go; repeatable. Default: files in the run's folder.",
)
@click.option(
    "--project",
    type=click.Path(path_type=Path),
    default=Path("runs/stream"),
    show_default=True,
    help="Folder of runs.",
)
@click.option(
    "--name",
    default="latest",
    show_default=True,
    help="The run's folder in --project; written over.",
)
@click.option(
    "--save/--no-save", default=True, help="Write the run's files where no --sink is named."
)
@click.option("--max-frames", type=int, help="End after so many frames.")
@click.option(
    "--keep",
    type=float,
    default=0.9,
    show_default=True,
    help="Share of a region that must stay to call it stable.",
)
@click.option(
    "--show",
    default="regions",
    show_default=True,
    metavar="|".join(VIEWS),
    help="What the overlay shows: stable regions with the eps each takes, "
    "pixels that alone withstand eps, or each pixel's radius as a colour.",
)
@click.option("--engine", default="onnxruntime", show_default=True, help="What runs the model.")
@click.option(
    "--threads",
    type=int,
    default=0,
    show_default=True,
    help="Of one inference; 0 lets the engine choose.",
)
@click.option(
    "--max-staleness",
    type=float,
    default=0.5,
    show_default=True,
    help="Oldest acceptable live frame, in seconds.",
)
@UNVERIFIED
@TRUST
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def command(
    source: str,
    eps: float,
    model: Path | None,
    sinks: tuple[str, ...],
    project: Path,
    name: str,
    save: bool,
    max_frames: int | None,
    keep: float,
    show: str,
    engine: str,
    threads: int,
    max_staleness: float,
    unverified: bool,
    trust: tuple[Path, ...],
    as_json: bool,
) -> None:
    """Segment a video source and show which regions no perturbation within eps can change.

    The first Ctrl-C finishes the frames under way, closes the recording and prints the summary.
    """
    options = StreamOptions(
        eps=eps,
        keep=keep,
        max_frames=max_frames,
        max_staleness_s=max_staleness,
        unverified=unverified,
        show=checked_view(show),
    )
    check_options(options)
    folder = project / name if save and not sinks else None
    if folder is not None:
        sinks = (str(folder / "overlay.mp4"), f"jsonl:{folder / 'frames.jsonl'}")
    report = run_stream(model, source, sinks or ("null",), options, engine, threads, as_json, trust)
    if folder is not None:
        write_summary(report, folder)


def write_summary(report: StreamReport, folder: Path) -> None:
    """Write `summary.json` into the run's folder."""
    text = json.dumps(report.to_json(), indent=2) + "\n"
    (folder / "summary.json").write_text(text, encoding="utf-8")


def run_stream(
    model: Path | None,
    source: str,
    sinks: tuple[str, ...],
    options: StreamOptions,
    engine: str = "onnxruntime",
    threads: int = 0,
    as_json: bool = False,
    trust: Sequence[Path] = (),
) -> StreamReport:
    """Open everything, stream to the end or Ctrl-C; print the summary, also after a failure."""
    check_not_overwritten(source, sinks)
    with contextlib.ExitStack() as stack:
        session = stack.enter_context(
            open_session(model or bundled(BUNDLED_MODEL), engine, threads)
        )
        check_level(session, options.unverified, trust)
        opened = open_source(source)
        stack.callback(opened.close)
        click.echo(f"Source: {opened.describe()}", err=as_json)
        names = session.manifest.class_names
        outputs = open_sinks(sinks, SinkContext(opened.fps, names, live=opened.live))
        stream = Stream(session, opened, outputs, options)
        stack.enter_context(stopped_by_signals(stream))
        try:
            return stream.run()
        finally:
            report = stream.report
            click.echo(json.dumps(report.to_json()) if as_json else summary(report))


def bundled(name: str) -> Path:
    """Path of a file that comes with lipdeploy.

    Raises:
        InputError: this installation lacks it.
    """
    path = Path(str(resources.files("lipdeploy.samples") / name))
    if not path.is_file():
        raise InputError(
            f"the bundled file {name} is missing from {path.parent}; install lipdeploy again"
        )
    return path


def check_not_overwritten(source: str, sinks: tuple[str, ...]) -> None:
    """Refuse to record over the source.

    Raises:
        InputError: a sink is the source's own file, or its folder of images.
    """
    origin = Path(source).expanduser()
    if not origin.exists():
        return
    for sink in sinks:
        target = Path(sink.removeprefix("jsonl:")).expanduser()
        into_folder = "%" in target.name and target.parent.resolve() == origin.resolve()
        if into_folder or target.resolve() == origin.resolve():
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


def summary(report: StreamReport) -> str:
    """The report for people, line by line."""
    stages = ", ".join(f"{ms:.1f} ms {name}" for name, ms in report.stage_ms.items())
    withheld = ", ".join(f"{count} {reason}" for reason, count in report.withheld.items())
    counts = (
        f"Frames: {report.frames_in} in, {report.shown} shown, {report.dropped} dropped, "
        f"{report.stale} stale, {sum(report.withheld.values())} withheld"
    )
    latency = ", ".join(f"{name} {ms:.1f}" for name, ms in report.latency_ms.items())
    lines = [
        f"Speed: {stages} per frame at shape {report.model_shape}",
        counts + (f" ({withheld})" if withheld else "") + _missing(report),
        f"Latency: {latency} ms from capture to sink; {report.fps:.1f} frames a second; "
        f"{report.certification_time_share:.0%} of the time in certification",
        _share(report),
        *_engine_note(report),
    ]
    saved = f"Results saved to {', '.join(report.saved)}" if report.saved else "Nothing was saved"
    return "\n".join([*lines, saved])


def _engine_note(report: StreamReport) -> list[str]:
    """Rounding is a property of the engine: say so where another one was measured."""
    if report.level != "statistical" or report.measured_on == report.engine:
        return []
    measured = report.measured_on or "an unknown engine"
    return [
        f"Note: rounding was measured on {measured}, this is {report.engine}; "
        "export on this device to measure it here"
    ]


def _missing(report: StreamReport) -> str:
    return f", {report.missing} missing at the source" if report.missing else ""


def _share(report: StreamReport) -> str:
    if report.certified_share is None:
        return f"No stability is claimed (level {report.level})"
    source = (
        f"eps {report.eps_source!r} at the source"
        if report.eps_source is not None
        else f"none at the source: {report.eps_source_reason}"
    )
    collective = percent_at_least(report.certified_share)
    pixelwise = percent_at_least(report.pixelwise_share or 0.0)
    return (
        f"Certified-stable share ({report.level}): {collective}% collective, "
        f"{pixelwise}% pixelwise, at eps {report.eps!r} "
        f"(l2, network input; {source})"
    )
