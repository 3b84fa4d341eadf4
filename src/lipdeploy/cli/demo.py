"""`lipdeploy demo`: the bundled clip through the bundled model."""

from __future__ import annotations

from pathlib import Path

import click
import cv2

from lipdeploy.cli.engine_option import ENGINE
from lipdeploy.cli.stream import bundled, run_stream, write_summary
from lipdeploy.cli.trust import TRUST, UNVERIFIED
from lipdeploy.runtime.sources.decoder import Decoder
from lipdeploy.runtime.stream import StreamOptions, check_options

BUNDLED_CLIP = "road.mp4"

EPILOG = """
\b
Example:
  lipdeploy demo --eps 0.25
"""


@click.command(
    "demo", epilog=EPILOG, short_help="Stream the bundled clip through the bundled model."
)
@click.option(
    "--eps",
    type=float,
    default=0.25,
    show_default=True,
    help="Budget, l2 at the network's input, images in [0,1].",
)
@click.option(
    "--project",
    type=click.Path(path_type=Path),
    default=Path("runs/demo"),
    show_default=True,
    help="Folder of the results; written over.",
)
@click.option("--max-frames", type=int, help="End after so many frames.")
@ENGINE
@UNVERIFIED
@TRUST
def command(
    eps: float,
    project: Path,
    max_frames: int | None,
    engine: str | None,
    unverified: bool,
    trust: tuple[Path, ...],
) -> None:
    """Stream the bundled clip through the bundled model; write the overlay and a summary."""
    options = StreamOptions(eps=eps, max_frames=max_frames, unverified=unverified)
    check_options(options)
    clip = bundled(BUNDLED_CLIP)
    video = project / "overlay.mp4"
    sinks = (str(video), f"jsonl:{project / 'frames.jsonl'}")
    report = run_stream(None, str(clip), sinks, options, engine, trust=trust)
    write_summary(report, project)
    still = project / "overlay.png"
    _save_still(video, still, report.shown // 2)
    click.echo(f"A still is in {still}, the summary in {project / 'summary.json'}")


def _save_still(video: Path, still: Path, number: int) -> None:
    """Copy one frame of a recording to a picture."""
    decoder = Decoder(str(video), cv2.CAP_FFMPEG)
    try:
        image = None
        for _ in range(number + 1):
            image = decoder.read() if decoder.opened else None
        if image is not None:
            cv2.imwrite(str(still), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    finally:
        decoder.release()
