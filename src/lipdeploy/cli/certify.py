"""`lipdeploy certify`: certified metrics of a file on labelled data."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from lipdeploy.cli.certify_audit import audit_frames
from lipdeploy.cli.certify_run import Flags, compute, draw, prepare
from lipdeploy.cli.certify_tables import METRICS, tables
from lipdeploy.cli.engine_option import ENGINE
from lipdeploy.cli.trust import TRUST, UNVERIFIED
from lipdeploy.core.errors import InputError
from lipdeploy.core.manifest import LEVEL_MEANING
from lipdeploy.runtime.evaluation.questions import GAMMAS_ACCURACY, GAMMAS_FNR
from lipdeploy.runtime.evaluation.shards import open_shards, shard_file
from lipdeploy.runtime.evaluation.spool import Spool
from lipdeploy.runtime.evaluation.summary import summary
from lipdeploy.runtime.session import Session

HELP = """Certify a model file on a labelled split: the worst figures under any perturbation.

Runs the file itself; eps is an l2 norm at the network's input, images in [0, 1]. Writes
metrics.json, per_image.csv, curve.csv and curve.png to runs/certify/NAME. `--shard i/n` certifies
every n-th image and leaves a shard there; `certify --merge` joins all of them into the figures of
one run. `--ray` spreads the images over a Ray cluster.

\b
Examples:
  lipdeploy certify polyps.onnx --data polyps.yaml --eps 0.1 --eps 0.25
  lipdeploy certify polyps.onnx --data polyps.yaml --roi scope.png --pictures 8
  lipdeploy certify polyps.onnx --data polyps.yaml --ray --workers 16
  lipdeploy certify polyps.onnx --audit --frames recording.mp4
"""

WITH_MERGE = {"merging", "metrics", "project", "name"}


@click.command(help=HELP)
@click.argument("model", type=click.Path(path_type=Path), required=False)
@click.option("--data", type=click.Path(path_type=Path), help="Data set YAML file.")
@click.option("--split", default="val", show_default=True)
@click.option(
    "--eps", type=float, multiple=True, default=(0.1, 0.25), show_default=True, help="Repeatable."
)
@click.option(
    "--gamma-accuracy",
    "gammas_accuracy",
    metavar="G",
    type=float,
    multiple=True,
    default=GAMMAS_ACCURACY,
    show_default=True,
    help="Which eps brings the pixel accuracy down to G? Repeatable.",
)
@click.option(
    "--gamma-fnr",
    "gammas_fnr",
    metavar="G",
    type=float,
    multiple=True,
    default=GAMMAS_FNR,
    show_default=True,
    help="Which eps brings the FNR of a class up to G? Repeatable.",
)
@click.option(
    "--metric",
    "metrics",
    type=click.Choice(METRICS),
    multiple=True,
    default=METRICS,
    help="Print these tables only; files hold all. Repeatable.",
)
@click.option(
    "--roi",
    type=click.Path(path_type=Path),
    help="PNG, non-zero where labels count; the perturbation may be anywhere.",
)
@click.option(
    "--pictures",
    type=click.IntRange(0),
    default=0,
    metavar="N",
    help="Draw the first N images under the largest eps.",
)
@ENGINE
@click.option("--shard", metavar="I/N", help="Certify part I of N only.")
@click.option("--merge", "merging", is_flag=True, help="Join the shards of this --name.")
@click.option("--ray", "use_ray", is_flag=True, help="Run on a Ray cluster.")
@click.option("--ray-address", help="Cluster.  [default: RAY_ADDRESS, or one on this machine]")
@click.option("--workers", type=click.IntRange(1), default=2, show_default=True, help="With --ray.")
@click.option(
    "--threads", type=click.IntRange(1), help="Of one inference.  [default: all; 1 with --ray]"
)
@click.option("--project", type=click.Path(path_type=Path), default=Path("runs/certify"))
@click.option("--name", default="exp", show_default=True, help="Run folder under --project.")
@click.option("--audit", is_flag=True, help="In float64, its rounding subtracted: level proved.")
@click.option(
    "--frames",
    metavar="SOURCE",
    help="With --audit in place of --data: a folder or recording without labels.",
)
@UNVERIFIED
@TRUST
def command(
    metrics: tuple[str, ...],
    merging: bool,
    project: Path,
    name: str,
    frames: str | None,
    **run: Any,
) -> int:
    """Certify a model file on a labelled split."""
    folder = project / name
    if merging:
        _refuse_run_flags(click.get_current_context())
        _conclude(open_shards(folder), folder, metrics)
    elif frames is not None:
        return _audit_frames(frames, folder, run)
    elif run["model"] is None or run["data"] is None:
        raise InputError("certify needs a MODEL and --data, or --merge")
    else:
        flags = Flags(**run)
        with flags.open() as session:
            _run(flags, session, folder, metrics)
    return 0


def _audit_frames(frames: str, folder: Path, run: dict[str, Any]) -> int:
    """Raise an `InputError` where --frames meets what it has no answer for."""
    needs_labels = ("data", "roi", "shard", "use_ray", "unverified")
    if not run["audit"] or run["model"] is None or any(run[key] for key in needs_labels):
        raise InputError("--frames takes a MODEL, --audit and --eps, and no labels or shards")
    asked = (run["model"], frames, run["eps"], folder, run["trust"])
    return audit_frames(*asked, run["engine"], run["threads"] or 0)


def _refuse_run_flags(ctx: click.Context) -> None:
    """Raise an `InputError` where --merge is given what the shards decide."""
    given = [
        param.opts[0]
        for param in ctx.command.params
        if param.name not in WITH_MERGE
        and ctx.get_parameter_source(str(param.name)) is ParameterSource.COMMANDLINE
    ]
    if given:
        raise InputError(f"--merge takes all from the shards; leave out {', '.join(given)}")


def _run(flags: Flags, session: Session, folder: Path, metrics: tuple[str, ...]) -> None:
    job = prepare(flags, session)
    folder.mkdir(parents=True, exist_ok=True)
    if flags.shard is not None:
        path = shard_file(folder, job.header.shard)
        compute(flags, session, job, path)
        draw(flags, session, job, folder)
        click.echo(f"Results saved to {path}; join them with --merge")
        return
    path = folder / f"records-{os.getpid()}.jsonl.gz"  # two runs of one name must not meet
    try:
        _conclude([compute(flags, session, job, path)], folder, metrics)
    finally:
        path.unlink(missing_ok=True)
    draw(flags, session, job, folder)


def _conclude(spools: list[Spool], folder: Path, metrics: tuple[str, ...]) -> None:
    found = summary(spools, folder)
    click.echo(tables(found, metrics))
    click.echo(f"\n{_plot(found, folder)}Results saved to {folder}")


def _plot(found: dict[str, Any], folder: Path) -> str:
    """Draw the curves; what to say where matplotlib is missing."""
    (folder / "curve.png").unlink(missing_ok=True)  # of an earlier run
    try:
        from lipdeploy.runtime.evaluation.curve_plot import plot_curve
    except ModuleNotFoundError as error:
        if not str(error.name).startswith("matplotlib"):
            raise
        return 'curve.png needs matplotlib: pip install "lipdeploy[certify]"\n'
    level = found["level"]
    title = f"{found['images']} images of {found['data']} ({found['split']})\n"
    plot_curve(folder / "curve.csv", f"{title}level {level}: {LEVEL_MEANING[level]}")
    return ""
