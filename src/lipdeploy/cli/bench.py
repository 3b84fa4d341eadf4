"""`lipdeploy bench`: what a model takes on this device, engines side by side."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import click

from lipdeploy.cli.bench_table import table
from lipdeploy.cli.engine_option import NAMES
from lipdeploy.cli.json_text import json_text
from lipdeploy.core.errors import InputError, VerificationError
from lipdeploy.runtime.bench import BenchOptions, bench
from lipdeploy.runtime.model_file import read_bytes
from lipdeploy.runtime.session import available_engines, checked_eps, engine_for, engine_module

HELP = """Measure a model on this device: engines side by side, and the stages of a stream.

MODEL is an .onnx file or a plan of `lipdeploy build`. All engines take turns in one run; figures
are medians. What the certification head costs is measured too where the package onnx is installed,
which is needed to take it off.

\b
Examples:
  lipdeploy bench model.onnx
  lipdeploy bench model.onnx --engine openvino --threads 2 --json bench.json
"""


@click.command("bench", help=HELP)
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "--engine",
    "engines",
    metavar=NAMES,
    multiple=True,
    help="Measure this one only; repeatable.  [default: all that work here]",
)
@click.option(
    "--frames",
    type=click.IntRange(1),
    default=30,
    show_default=True,
    help="Timed calls of each engine.",
)
@click.option(
    "--threads",
    type=click.IntRange(0, 1024),
    default=0,
    show_default=True,
    help="Threads of one inference; 0 lets the engine choose.",
)
@click.option("--eps", type=float, default=0.25, show_default=True, help="l2 budget.")
@click.option(
    "--json", "target", type=click.Path(path_type=Path), help="Write every time to this file."
)
def command(
    model: Path,
    engines: tuple[str, ...],
    frames: int,
    threads: int,
    eps: float,
    target: Path | None,
) -> int:
    """Measure a model on this device."""
    if target is not None and (target.is_dir() or not target.parent.is_dir()):
        raise InputError(f"--json {target} cannot be written; name a file in a folder that exists")
    names = tuple(dict.fromkeys(engines)) or _all_for(model)
    for name in names:
        engine_for(model, name)
        engine_module(name)  # one that cannot run is told before anything takes time
    options = BenchOptions(names, frames, threads, checked_eps(eps))
    bare, why_not = _without_head(model)
    report = bench(model, options, bare, _progress)
    click.echo(table(report))
    if why_not:
        click.echo(f"The cost of the head was not measured: {why_not}")
    if target is not None:
        _write(target, json_text(report.to_json()))
    return 0


def _all_for(model: Path) -> tuple[str, ...]:
    """The engines that run this kind of file."""
    default = engine_for(model)
    here = available_engines()
    return here if default in here else (default,)


def _without_head(model: Path) -> tuple[bytes | None, str]:
    """The network alone, or why there is none."""
    data = read_bytes(model)
    if model.suffix != ".onnx":
        return None, "a plan cannot be taken apart"
    try:
        from lipdeploy.export.bare_graph import bare_graph
    except ModuleNotFoundError as error:
        return None, f'it needs {error.name}: pip install "lipdeploy[export]"'
    try:
        return bare_graph(data, str(model)), ""
    except VerificationError as error:
        return None, str(error)


def _progress(rounds: Iterable[int]) -> Iterator[int]:
    bar = click.progressbar(rounds, label="measuring", file=sys.stderr)
    with bar as items:
        yield from items


def _write(target: Path, text: str) -> None:
    try:
        target.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(f"{target} cannot be written ({error.strerror or error})") from error
    click.echo(f"All times saved to {target}")
