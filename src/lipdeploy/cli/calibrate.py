"""`lipdeploy calibrate`: a verified float32 file in another precision, verified again."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from tqdm import tqdm

from lipdeploy.calibration.calibrator import Calibrator, Measurement, Report
from lipdeploy.calibration.dear_engines import DEAR
from lipdeploy.calibration.examples import examples_of
from lipdeploy.calibration.precision_table import Row, precision_table
from lipdeploy.calibration.source import read_source
from lipdeploy.calibration.transformation import (
    DEFAULT_METHODS,
    METHODS,
    PRECISIONS,
    REDUCED,
    Plan,
)
from lipdeploy.cli.engine_option import NAMES
from lipdeploy.cli.json_text import json_text
from lipdeploy.cli.plain_text import printable
from lipdeploy.cli.verdict import summary_line
from lipdeploy.core.dataset import load_dataset
from lipdeploy.core.errors import InputError
from lipdeploy.core.figures import at_least, at_most
from lipdeploy.core.manifest import LEVEL_MEANING, Numerics
from lipdeploy.export.engine_parity import EngineMeter
from lipdeploy.export.slack import measured_figures, reserved_slack
from lipdeploy.export.verifier.parity import STATISTICAL_FRAMES
from lipdeploy.runtime.session import checked_eps

DEARER = 2.0  # times another engine's D: worth a line

HELP = """Bring a verified file to another precision or engine, and measure what that costs.

The weights of the new file get their own Lipschitz bound. Its rounding is measured against float64
on every engine named, on clean frames, on frames attacked in l2 and on frames optimised against the
rounding, and subtracted in the graph. The file is verified before it is written (exit 3 otherwise).
`--precision float32` leaves the network as it is and measures it on other engines. `all` writes
the reduced precisions into a folder and compares them.

\b
Examples:
  lipdeploy calibrate polyps.onnx polyps-int8.onnx --precision int8 --data polyps.yaml
  lipdeploy calibrate polyps.onnx polyps-gpu.onnx --precision float32 --engine tensorrt \\
      --data polyps.yaml
  lipdeploy calibrate polyps.onnx runs/precisions --precision all --data polyps.yaml
"""


@click.command(help=HELP)
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("target", type=click.Path(path_type=Path))
@click.option("--precision", type=click.Choice((*PRECISIONS, "all")), required=True)
@click.option("--data", type=click.Path(path_type=Path), required=True, help="Data set YAML file.")
@click.option("--split", default="train", show_default=True, help="Calibration examples.")
@click.option(
    "--level",
    type=click.Choice(["statistical", "bounded"]),
    default="statistical",
    show_default=True,
    help="Whether rounding is measured or bounded: float32 and int16 on ONNX Runtime's CPU only; "
    "refused where the bound exceeds most margins.",
)
@click.option(
    "--method",
    type=click.Choice(METHODS),
    help="Ranges of activations.  [default: certified for int8, minmax for int16]",
)
@click.option(
    "--frames",
    type=click.IntRange(1),
    default=STATISTICAL_FRAMES,
    show_default=True,
    help=f"Frames of the measurement; fewer than {STATISTICAL_FRAMES} give level none.",
)
@click.option(
    "--engine",
    "engines",
    metavar=NAMES,
    multiple=True,
    help="D covers this one; repeatable.  [default: onnxruntime and openvino where installed, "
    f"less one whose D is over {DEAR:g} times the other's]",
)
@click.option(
    "--eps",
    type=click.FloatRange(min=0.0),
    multiple=True,
    default=(0.1, 0.25),
    show_default=True,
    help="Budgets of the table and of `certified`; repeatable.",
)
@click.option("--table", is_flag=True, help="Compare with the float32 file; `all` always does.")
@click.option("--table-split", default="val", show_default=True, help="Examples of the table.")
@click.option("--table-images", type=click.IntRange(1), default=100, show_default=True, metavar="N")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def command(model: Path, target: Path, precision: str, **options: Any) -> int:
    """Bring a verified file to another precision."""
    source = read_source(model)
    dataset = load_dataset(options["data"])
    examples = examples_of(dataset, options["split"], source.manifest)
    every = precision == "all"
    _check_options(precision, options)
    with_table = every or options["table"]
    shown = (
        examples_of(dataset, options["table_split"], source.manifest).spread(
            options["table_images"]
        )
        if with_table
        else None
    )
    files = _targets(model, target, precision)
    level = options["level"]
    # level `bounded` is of one engine: what others add to the errors seen is no part of it
    engines = options["engines"] or (("onnxruntime",) if level == "bounded" else ())
    measurement = Measurement(options["frames"], engines)
    calibrator = Calibrator(source, examples, measurement)
    reports = {
        name: _calibrated(
            calibrator, Plan(name, _method(name, options), options["eps"], level), file
        )
        for name, file in files.items()
    }
    rows = (
        precision_table([model, *files.values()], shown, options["eps"], measurement.engine_names)
        if shown is not None
        else []
    )
    found = _json(reports, rows, shown.split if shown else None, len(shown) if shown else 0)
    if every:
        (target / "precision.json").write_text(found + "\n", encoding="utf-8")
    click.echo(found if options["as_json"] else _text(files, reports, rows))
    return 0


def _check_options(precision: str, options: dict[str, Any]) -> None:
    """Raise an `InputError` for what would be ignored, or fail after the measurement."""
    for eps in options["eps"]:
        checked_eps(eps)
    engines = set(options["engines"])
    if options["method"] and precision not in (*DEFAULT_METHODS, "all"):
        known = " and ".join(DEFAULT_METHODS)
        raise InputError(f"--method is of --precision {known}; leave it out for {precision}")
    if options["level"] == "bounded" and len(engines) > 1:
        raise InputError(
            f"level 'bounded' is of one engine, got {', '.join(sorted(engines))}; "
            "name --engine onnxruntime alone, or none"
        )
    if "tensorrt" in engines and (options["table"] or precision == "all"):
        raise InputError(
            "the table runs the files themselves, and engine 'tensorrt' runs plans of them; "
            "calibrate one --precision at a time, without --table"
        )


def _targets(model: Path, target: Path, precision: str) -> dict[str, Path]:
    if precision != "all":
        files = {precision: target}
    elif target.exists() and not target.is_dir():
        raise InputError(f"{target} is a file; --precision all writes into a folder")
    else:
        files = {name: target / f"{model.stem}-{name}.onnx" for name in REDUCED}
    for file in files.values():
        if file.is_dir():
            raise InputError(f"{file} is a folder; name the file to write")
        if file.exists() and file.samefile(model):
            raise InputError(f"{file} is the model itself; name another file to write")
    return files


def _method(precision: str, options: dict[str, Any]) -> str:
    method = options["method"] or ""
    return str(method) if precision in DEFAULT_METHODS else ""


def _calibrated(calibrator: Calibrator, plan: Plan, file: Path) -> Report:
    total = calibrator.measurement.frames
    with tqdm(
        total=total, unit="frame", desc=plan.precision, dynamic_ncols=True, disable=None
    ) as bar:
        return calibrator.calibrate(plan, file, lambda count: bool(bar.update(count)))


def _text(files: dict[str, Path], reports: dict[str, Report], rows: Sequence[Row]) -> str:
    lines = []
    for precision, report in reports.items():
        lines += [*_report_lines(precision, report), f"Results saved to {files[precision]}", ""]
    return "\n".join([*lines, _table(rows)] if rows else lines[:-1])


def _report_lines(precision: str, report: Report) -> list[str]:
    numerics = report.numerics
    lines = [f"{precision}: {numerics.level}, {LEVEL_MEANING[numerics.level]}"]
    for engine, found in numerics.evidence["engines"].items():
        lines += [
            f"  {printable(engine)}: {found['frames']} frames, {found['attacked_frames']} "
            f"attacked, {found['rounding_attacked_frames']} against the rounding",
            f"  largest error of a logit difference {found['largest_error']:.2e}, "
            f"sigma {found['sigma']:.2e}",
        ]
    lines += [f"  {printable(name)}: not measured, {why}" for name, why in report.skipped.items()]
    lines.append(f"  D {numerics.slack:.2e} = {numerics.evidence['rule']}")
    lines += _cheaper_engine(numerics)
    lines += [_left_out_line(name, meter, numerics) for name, meter in report.left_out.items()]
    if numerics.level == "none":
        lines.append(f"  level none: fewer than {STATISTICAL_FRAMES} frames, or none attacked")
    return [*lines, f"  {summary_line(report.verification)}"]


def _cheaper_engine(numerics: Numerics) -> list[str]:
    """Where one engine makes all others pay: what D would be without it."""
    found = numerics.evidence["engines"]
    slacks = {n: reserved_slack(each["largest_error"], each["sigma"]) for n, each in found.items()}
    best = min(slacks, key=lambda name: slacks[name])
    if numerics.level == "bounded" or slacks[best] > numerics.slack / DEARER:
        return []
    return [
        f"  D is that of {printable(numerics.evidence['engine'])}; with --engine "
        f"{best.split()[0]} alone it would be {slacks[best]:.2e}"
    ]


def _left_out_line(engine: str, meter: EngineMeter, numerics: Numerics) -> str:
    """What a dear engine would cost, and how to include it."""
    parity = meter.parity
    names = [*numerics.evidence["engines"], engine]
    flags = " ".join(f"--engine {printable(name.split()[0])}" for name in names)
    return (
        f"  {printable(engine)}: left out, largest error {parity.largest:.2e}, sigma "
        f"{parity.sigma:.2e}, D would be {reserved_slack(parity.largest, parity.sigma):.2e}; "
        f"level none on it; {flags} includes it"
    )


def _table(rows: Sequence[Row]) -> str:
    """Figures that are bounds are rounded against us."""
    budgets, engines = list(rows[0].crpa), list(rows[0].milliseconds)
    head = ["precision", "level", "mIoU", "accuracy", *(f"CRPA@{eps}" for eps in budgets)]
    head += ["changed", "radius drift", "L <=", "D", "MB", *(f"{name} ms" for name in engines)]
    cells = [head, *(_cells(row, budgets, engines) for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(head))]
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    )


def _cells(row: Row, budgets: Sequence[str], engines: Sequence[str]) -> list[str]:
    certified = [row.crpa.get(eps) for eps in budgets]
    times = [row.milliseconds.get(engine) for engine in engines]
    return [
        row.precision,
        row.level,
        f"{row.miou:.4f}",
        f"{row.pixel_accuracy:.4f}",
        *("-" if share is None else at_least(share) for share in certified),
        f"{100 * row.changed_pixels:.3f} %",
        f"{row.radius_drift:.2e}",
        at_most(row.lipschitz, 7),
        f"{row.slack:.2e}",
        f"{row.size_bytes / 1e6:.2f}",
        *("-" if each is None else f"{each:.1f}" for each in times),
    ]


def _json(reports: dict[str, Report], rows: Sequence[Row], split: str | None, images: int) -> str:
    found = {
        "files": {
            precision: {
                "model": report.verification.model,
                "lipschitz": report.verification.declared,
                "numerics": dataclasses.asdict(report.numerics),
                "limits": report.limits,
                "skipped": report.skipped,
                "left_out": {n: measured_figures(m) for n, m in report.left_out.items()},
            }
            for precision, report in reports.items()
        },
        "table": [dataclasses.asdict(row) for row in rows],
        "table_split": split,
        "table_images": images,
    }
    return json_text(found)
