"""`lipdeploy train --sweep`: one training for each value of an option, and their curve."""

from __future__ import annotations

import os
import signal
import types
from pathlib import Path
from typing import Any

import click

from lipdeploy.core.errors import InputError, LipdeployError
from lipdeploy.training.frontier_plot import draw_frontiers
from lipdeploy.training.sweep import Point, Run, parse_axes, points, run_name
from lipdeploy.training.sweep_process import LOG, TrainProcesses
from lipdeploy.training.sweep_record import Row, unfinished_row, write_table
from lipdeploy.training.sweep_run import Outcome, outcomes

# What says where a run is written, what each run gets for itself, and what changes no result.
_PLACE = frozenset({"project", "name", "resume", "sweep", "jobs", "help"})
_EFFORT = frozenset({"threads", "workers", "device"})
_SHOWN = ("miou", "pixel_accuracy", "crpa_0.1", "crpa_0.25", "stability50")


class SweepCommand(click.Command):
    """A training command that also runs once for each point of `--sweep`.

    The command's own callback runs in a process of its own for every point, with the options as
    they were given and those of the point.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params += [
            click.Option(
                ["--sweep"],
                multiple=True,
                expose_value=False,
                metavar="OPTION=V,V,...",
                help="Train once for each value of an option, such as tau=5,10,20; again for "
                "every combination with another. Finished runs are kept, stopped ones go on. "
                "Writes sweep.csv and sweep.png.",
            ),
            click.Option(
                ["--jobs"],
                type=click.IntRange(1),
                default=1,
                show_default=True,
                expose_value=False,
                help="Runs of a sweep at a time; they share the CPU threads.",
            ),
        ]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse, and keep the values as they were written for the runs of a sweep."""
        written, _, _ = self.make_parser(ctx).parse_args(args=list(args))
        ctx.meta[__name__] = dict(written)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Train, or sweep where `--sweep` is given."""
        written: dict[str, Any] = ctx.meta[__name__]
        return _sweep(ctx, written) if written.get("sweep") else super().invoke(ctx)


def _sweep(ctx: click.Context, written: dict[str, Any]) -> int:
    options = {_long_name(param): param for param in ctx.command.params}
    every = points(parse_axes(written["sweep"]))
    for name in every[0]:
        _check_name(name, options)
    for point in every:
        for name, value in point.items():
            options[name].process_value(ctx, value)
    folder = Path(ctx.params["project"]) / str(ctx.params["name"])
    if (folder / "last.pt").exists():
        raise InputError(f"{folder} holds a single run; sweep under another --name")
    folder.mkdir(parents=True, exist_ok=True)
    runs = [_run(folder, point, options, written) for point in every]
    jobs = int(written.get("jobs") or 1)
    processes = TrainProcesses(_effort(options, written, jobs))
    return _conclude(_train(runs, processes, jobs, folder), folder)


def _train(
    runs: list[Run], processes: TrainProcesses, jobs: int, folder: Path
) -> dict[str, Outcome]:
    """Run all and tell of each; the table is up to date after every one."""

    def stop(_signal: int, _frame: types.FrameType | None) -> None:
        processes.stop()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    click.echo(f"{len(runs)} runs in {folder}, {jobs} at a time; what each says is in its {LOG}")
    ended: dict[str, Outcome] = {}
    try:
        for outcome in outcomes(runs, processes, jobs, processes.stopped):
            name = run_name(outcome.run.point)
            ended[name] = outcome
            write_table([_row(run, ended) for run in runs], folder / "sweep.csv")
            click.echo(f"[{len(ended)}/{len(runs)}] {name}: {_words(outcome)}")
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return {run_name(run.point): ended[run_name(run.point)] for run in runs}


def _conclude(ended: dict[str, Outcome], folder: Path) -> int:
    rows = [outcome.row for outcome in ended.values()]
    draw_frontiers({folder.name: rows}, folder / "sweep.png", folder.name)
    states = [row["state"] for row in rows]
    click.echo(f"{states.count('done')} of {len(rows)} runs done. Results saved to {folder}")
    if "failed" in states:
        failed = [name for name, outcome in ended.items() if outcome.row["state"] == "failed"]
        raise LipdeployError(f"{len(failed)} of {len(rows)} runs failed: {'; '.join(failed)}")
    if "stopped" in states:
        click.echo("Stopped; the same command goes on.")
    return 0


def _row(run: Run, ended: dict[str, Outcome]) -> Row:
    outcome = ended.get(run_name(run.point))
    return unfinished_row(run, "waiting") if outcome is None else outcome.row


def _words(outcome: Outcome) -> str:
    state = outcome.row["state"]
    if state == "failed":
        return f"failed ({outcome.reason}); see {outcome.run.folder / LOG}"
    if state == "stopped":
        return "stopped"
    figures = [f"{key} {float(outcome.row[key]):.4f}" for key in _SHOWN if outcome.row.get(key)]
    return ", ".join([*figures, *(["done before"] if outcome.skipped else [])])


def _long_name(param: click.Parameter) -> str:
    return max(param.opts, key=len).lstrip("-")


def _check_name(name: str, options: dict[str, click.Parameter]) -> None:
    usable = sorted(set(options) - _PLACE - _EFFORT - {"data"})
    if name not in usable:
        raise InputError(f"--sweep of {name!r}; expected one of: {', '.join(usable)}")


def _run(
    folder: Path, point: Point, options: dict[str, click.Parameter], written: dict[str, Any]
) -> Run:
    """The options as written, those of the point in their place."""
    arguments: list[str] = []
    for name, param in options.items():
        if name in _PLACE | _EFFORT:
            continue
        value = point.get(name, written.get(param.name or ""))
        arguments += _argument(param, value)
    return Run(point, folder / run_name(point), tuple(arguments))


def _effort(
    options: dict[str, click.Parameter], written: dict[str, Any], jobs: int
) -> tuple[str, ...]:
    """Threads, workers and device; runs side by side share the processors."""
    chosen = {name: written.get(options[name].name or "") for name in _EFFORT & set(options)}
    if jobs > 1 and chosen.get("threads") is None:
        chosen["threads"] = str(max(1, (os.cpu_count() or 1) // jobs))
    return tuple(text for name in sorted(chosen) for text in _argument(options[name], chosen[name]))


def _argument(param: click.Parameter, value: Any) -> list[str]:
    """An option as on the command line; nothing where it was not given."""
    option = max(param.opts, key=len)
    if value is None:
        return []
    if getattr(param, "is_flag", False):
        return _flag(param, click.BOOL.convert(value, param, None))
    if isinstance(value, (list, tuple)):
        return [text for each in value for text in (option, str(each))]
    return [option, str(value)]


def _flag(param: click.Parameter, value: bool) -> list[str]:
    """A switch that is on, or one that has a way to say off."""
    names = param.opts if value else param.secondary_opts
    return [max(names, key=len)] if names else []
