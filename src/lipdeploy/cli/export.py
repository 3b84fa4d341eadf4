"""`lipdeploy export`: a checkpoint becomes one verified ONNX file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from lipdeploy.cli.export_handover import check_handover, write_handover
from lipdeploy.cli.verdict import layer_table, summary_line
from lipdeploy.core.dataset import load_dataset
from lipdeploy.core.errors import InputError
from lipdeploy.core.manifest import LEVEL_MEANING, Level
from lipdeploy.export.handover.targets import TARGETS
from lipdeploy.export.head import HEADS
from lipdeploy.export.verifier.parity import STATISTICAL_FRAMES
from lipdeploy.runtime.session import is_plan

if TYPE_CHECKING:
    from lipdeploy.export.exporter import ExportReport

HELP = """Turn a checkpoint into one verified ONNX file.

Folds the orthogonal parametrisations into plain weights, appends the certification head, bounds
the Lipschitz constant of every stored layer, measures the engine against float64 and checks the
written file with `lipdeploy verify`. Nothing is written when a check fails (exit 3).

--for also writes what DeepStream, Triton or Holoscan needs, into a folder beside TARGET each. For
a model that is exported already, name it in place of CHECKPOINT, and as TARGET a folder or nothing.

\b
Examples:
  lipdeploy export runs/train/polyps/ckpt.pt polyps.onnx --imgsz 128 128
  lipdeploy export polyps.onnx --for triton --for deepstream
"""


@click.command(help=HELP)
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.argument("target", type=click.Path(path_type=Path), required=False)
@click.option(
    "--imgsz", type=int, nargs=2, metavar="H W", help="Input size.  [default: that of training]"
)
@click.option("--head", type=click.Choice(HEADS), default="threshold", show_default=True)
@click.option(
    "--budgets", type=click.IntRange(1, 1024), default=1, show_default=True, help="Length of `eps`."
)
@click.option("--logits", is_flag=True, help="Also output `logits`.")
@click.option(
    "--frames",
    type=click.IntRange(1),
    default=STATISTICAL_FRAMES,
    show_default=True,
    help=f"Frames of the parity measurement; fewer than {STATISTICAL_FRAMES} give level none.",
)
@click.option(
    "--data", type=click.Path(path_type=Path), help="Data set whose train images join the frames."
)
@click.option(
    "--for",
    "handover",
    type=click.Choice(list(TARGETS)),
    multiple=True,
    help="Also write the files of this server or pipeline. Repeatable.",
)
@click.option(
    "--level",
    type=click.Choice(["statistical", "bounded"]),
    default="statistical",
    show_default=True,
    help="Whether rounding is measured or bounded; refused where the bound exceeds most margins.",
)
@click.pass_context
def command(
    context: click.Context,
    /,
    checkpoint: Path,
    target: Path | None,
    imgsz: tuple[int, int] | None,
    head: str,
    budgets: int,
    logits: bool,
    frames: int,
    data: Path | None,
    handover: tuple[str, ...],
    level: Level,
) -> int:
    """Turn a checkpoint into one verified ONNX file."""
    if checkpoint.suffix == ".onnx":
        if not handover:
            raise InputError(f"{checkpoint} is exported already; say what --for, or name a .pt")
        _refuse_ignored(context, checkpoint)
        write_handover(checkpoint, handover, target or checkpoint.parent)
        return 0
    if is_plan(checkpoint):
        raise InputError(f"{checkpoint} is a plan; name the .onnx file that it was built from")
    if target is None:
        raise click.UsageError("TARGET is missing: where should the .onnx file go?")
    if handover:
        check_handover(target, handover, target.parent)
    from tqdm import tqdm

    from lipdeploy.export.exporter import Request, export
    from lipdeploy.training.checkpoint import load_checkpoint

    loaded = load_checkpoint(checkpoint)
    images = [pair.image for pair in load_dataset(data).pairs("train")] if data else []
    height, width = imgsz or loaded.imgsz
    request = Request(height, width, head, budgets, logits, frames, images, level)
    click.echo(f"Exporting {checkpoint} at {height}x{width} ...", err=True)
    # no bar in a log file: it would be a thousand lines long
    bar = tqdm(total=frames, unit="frame", desc="parity with float64", disable=None)
    with bar:
        report = export(loaded, target, request, lambda count: bool(bar.update(count)))
    _print(report, target)
    if handover:
        write_handover(target, handover, target.parent)
    return 0


def _refuse_ignored(context: click.Context, model: Path) -> None:
    """What a model is was decided when it was exported."""
    for parameter in context.command.params:
        name = str(parameter.name)
        given = context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        if given and name not in ("checkpoint", "target", "handover"):
            raise click.UsageError(
                f"{parameter.opts[0]} changes nothing in {model}, which is exported already; "
                "leave it out, or name its checkpoint"
            )


def _print(report: ExportReport, target: Path) -> None:
    parity, numerics = report.parity, report.numerics
    click.echo(layer_table(report.verification.layers, report.verification.lipschitz))
    click.echo(f"fold      largest change of a logit {report.fold_error:.2e} (float64 network)")
    click.echo(
        f"parity    {parity.frames} frames, {parity.attacked} attacked: largest error of a logit "
        f"difference {parity.largest:.2e}, sigma {parity.sigma:.2e}, D {numerics.slack:.2e}"
    )
    click.echo(f"level     {numerics.level}: {LEVEL_MEANING[numerics.level]}")
    click.echo(summary_line(report.verification))
    size = target.stat().st_size / 1e6
    click.echo(f"Results saved to {target} ({size:.2f} MB)")
