"""`lipdeploy cameras`: which cameras there are, by names that last, and what they deliver."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from itertools import groupby

import click

from lipdeploy.cli.json_text import json_text
from lipdeploy.cli.plain_text import printable
from lipdeploy.runtime.devices import Camera, Mode, cameras_here

HELP = """List cameras (V4L2) with stable names, formats, sizes, rates, and what is wrong with them.

\b
Examples:
  lipdeploy cameras
  lipdeploy stream --source '/dev/v4l/by-id/NAME?size=1280x720&fps=30&format=MJPG'
"""

NONE = (
    "No camera: there is no /dev/video* here.\n"
    "Plug one in and look at `dmesg`; a container needs --device /dev/video0.\n"
    "Network cameras are not listed: name them with --source rtsp://..."
)


@click.command("cameras", help=HELP)
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
def command(as_json: bool) -> int:
    """List cameras."""
    found = cameras_here()
    click.echo(json_text([dataclasses.asdict(c) for c in found]) if as_json else text(found))
    return 0


def text(found: Sequence[Camera]) -> str:
    """The list for people."""
    return "\n\n".join(_block(camera) for camera in found) or NONE


def _block(camera: Camera) -> str:
    lines = [" ".join(filter(None, (camera.path, printable(camera.name))))]
    if camera.problem:
        lines += [f"  problem: {camera.problem}", f"  fix:     {camera.fix}"]
    lines += [f"  stable:  {name}" for name in camera.stable]
    if camera.driver:
        lines.append(f"  driver:  {printable(camera.driver)} at {printable(camera.bus)}")
    by_format = groupby(camera.modes, key=lambda mode: mode.pixel_format)
    for pixel_format, modes in by_format:
        lines.append(f"  {printable(pixel_format)}")
        lines += [f"    {_mode(mode)}" for mode in modes]
    return "\n".join(lines)


def _mode(mode: Mode) -> str:
    size = f"{'up to ' if mode.ranged else ''}{mode.width}x{mode.height}"
    rates = ", ".join(f"{rate:.4g}" for rate in mode.rates)
    return f"{size:<11} {rates} fps" if rates else size
