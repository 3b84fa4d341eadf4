"""`lipdeploy stream`: a video source through a model, with what is certified drawn on it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import click

from lipdeploy.cli.engine_option import ENGINE
from lipdeploy.cli.stream_run import StreamJob, run_job
from lipdeploy.cli.trust import TRUST, UNVERIFIED
from lipdeploy.core.errors import InputError
from lipdeploy.runtime.report import StreamReport
from lipdeploy.runtime.stream import OnSinkError, StreamOptions, check_options
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
Sources: 0, /dev/video0, /dev/v4l/by-id/..., csi://0, gst://..., a video, image or folder,
  'glob/*.jpg', list.txt, rtsp://, http://, test://scene
Sinks: out.mp4, out.mkv, out.avi, folder/, frame_%06d.png, jsonl:f.jsonl[?rotate=100MB],
  mcap:f.mcap, http://127.0.0.1:8080 (a live page), prometheus://127.0.0.1:9108, display://, null;
  {time} in a name is the start in UTC
"""


@click.command("stream", epilog=EPILOG, short_help="Stream video through a model.")
@click.option(
    "--source",
    "sources",
    required=True,
    multiple=True,
    help="Camera, video, images, URL or test://scene; repeatable.",
)
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
@ENGINE
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
    help="Oldest acceptable live frame, in seconds; judged again when it is shown.",
)
@click.option(
    "--allow-still",
    is_flag=True,
    help="A live picture may repeat (a test picture); else a repeat counts as frozen.",
)
@click.option(
    "--on-sink-error",
    type=click.Choice(["stop", "continue"]),
    default="stop",
    show_default=True,
    help="Whether a sink that fails or hangs ends the run.",
)
@click.option(
    "--audit-every",
    type=click.IntRange(1),
    metavar="K",
    help="Evaluate every K-th frame again in float64, beside the stream; an over-claim ends all "
    "claims (withheld: drift).",
)
@UNVERIFIED
@TRUST
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def command(
    sources: tuple[str, ...],
    eps: float,
    model: Path | None,
    sinks: tuple[str, ...],
    project: Path,
    name: str,
    save: bool,
    max_frames: int | None,
    keep: float,
    show: str,
    engine: str | None,
    threads: int,
    max_staleness: float,
    allow_still: bool,
    on_sink_error: OnSinkError,
    audit_every: int | None,
    unverified: bool,
    trust: tuple[Path, ...],
    as_json: bool,
) -> None:
    """Segment a video source and show which regions no perturbation within eps can change.

    Of a live frame that is frozen, black, damaged or too old nothing is claimed: it is WITHHELD.

    The first Ctrl-C finishes the frames under way, closes the recordings and prints the summary;
    a second one ends at once.
    """
    options = StreamOptions(
        eps=eps,
        keep=keep,
        max_frames=max_frames,
        max_staleness_s=max_staleness,
        unverified=unverified,
        show=checked_view(show),
        allow_still=allow_still,
        on_sink_error=on_sink_error,
    )
    check_options(options)
    folder = project / name if save and not sinks else None
    if folder is not None:
        sinks = (str(folder / "overlay.mp4"), f"jsonl:{folder / 'frames.jsonl'}")
    report = run_stream(
        model, sources, sinks or ("null",), options, engine, threads, as_json, trust, audit_every
    )
    if folder is not None:
        write_summary(report, folder)


def write_summary(report: StreamReport, folder: Path) -> None:
    """Write `summary.json` into the run's folder."""
    text = json.dumps(report.to_json(), indent=2) + "\n"
    (folder / "summary.json").write_text(text, encoding="utf-8")


def run_stream(
    model: Path | None,
    source: str | tuple[str, ...],
    sinks: tuple[str, ...],
    options: StreamOptions,
    engine: str | None = None,
    threads: int = 0,
    as_json: bool = False,
    trust: Sequence[Path] = (),
    audit_every: int | None = None,
) -> StreamReport:
    """Stream to the end or Ctrl-C, with the bundled model if none is named; print the summary."""
    sources = (source,) if isinstance(source, str) else source
    path = model or bundled(BUNDLED_MODEL)
    job = StreamJob(path, sources, sinks, options, engine, threads, as_json, trust, audit_every)
    return run_job(job)


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
