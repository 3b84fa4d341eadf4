"""`lipdeploy certify`: certified metrics of a file on labelled data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from lipdeploy.core.dataset import load_dataset
from lipdeploy.core.errors import InputError, VerificationError
from lipdeploy.core.manifest import LEVEL_MEANING
from lipdeploy.runtime.evaluation import Evaluation, evaluate
from lipdeploy.runtime.session import checked_eps, open_session

HELP = """Certify a model file on a labelled split: the worst accuracy under any perturbation.

Runs the file itself; eps is an l2 norm at the network's input, images in [0, 1]. Writes
metrics.json and per_image.csv to runs/certify/NAME.

\b
Example: lipdeploy certify polyps.onnx --data polyps.yaml --eps 0.1 --eps 0.25
"""


@click.command(help=HELP)
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--data", type=click.Path(path_type=Path), required=True, help="Data set YAML file.")
@click.option("--split", default="val", show_default=True)
@click.option("--eps", type=float, multiple=True, default=(0.1, 0.25), show_default=True)
@click.option("--project", type=click.Path(path_type=Path), default=Path("runs/certify"))
@click.option("--name", default="exp", show_default=True)
@click.option("--unverified", is_flag=True, help="Run a model of level none.")
def command(
    model: Path,
    data: Path,
    split: str,
    eps: tuple[float, ...],
    project: Path,
    name: str,
    unverified: bool,
) -> int:
    """Certify a model file on a labelled split."""
    budgets = tuple(sorted({checked_eps(value) for value in eps}))
    dataset = load_dataset(data)
    pairs = dataset.pairs(split)
    with open_session(model) as session:
        if session.manifest.numerics.level == "none" and not unverified:
            raise VerificationError(f"{model} has level none; export it anew or pass --unverified")
        if session.manifest.class_names != dataset.class_names:
            raise InputError(
                f"{model} has classes {', '.join(session.manifest.class_names)}; "
                f"{data} has {', '.join(dataset.class_names)}; they must be the same"
            )
        with click.progressbar(length=len(pairs), label="certifying") as bar:
            found = evaluate(session, pairs, budgets, bar.update)
    folder = project / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "metrics.json").write_text(json.dumps(found.metrics(), indent=2), encoding="utf-8")
    found.write_rows(folder / "per_image.csv")
    click.echo(_tables(found))
    click.echo(f"Results saved to {folder}")
    return 0


def _tables(found: Evaluation) -> str:
    metrics = found.metrics()
    level = metrics["level"]
    head = (
        f"{metrics['images']} images, pixel accuracy {metrics['pixel_accuracy']:.4f}, "
        f"mIoU {metrics['miou']:.4f}, L <= {metrics['lipschitz']:.6f}\n"
        f"level {level}: {LEVEL_MEANING[level]}"
    )
    return "\n\n".join([head, _shares(metrics), *_classes(metrics), _budgets(metrics)])


def _shares(metrics: dict[str, Any]) -> str:
    lines = [
        "Q1: least share of pixels, whatever the perturbation up to eps (mean over images)",
        f"{'eps (l2)':>10}  {'CRPA':>7}  {'CRS':>7}  {'pixelwise CRPA':>14}  {'pixelwise CRS':>13}",
    ]
    for eps, row in metrics["eps"].items():
        lines.append(
            f"{eps:>10}  {row['crpa']:7.4f}  {row['crs']:7.4f}  "
            f"{row['pixelwise_crpa']:14.4f}  {row['pixelwise_crs']:13.4f}"
        )
    return "\n".join(lines)


def _classes(metrics: dict[str, Any]) -> list[str]:
    return [
        _by_class(metrics, "Q1: largest FNR (mean over images with the class)", "worst_fnr"),
        _by_class(metrics, "Q1: least class IoU over the data set", "worst_iou_dataset"),
    ]


def _by_class(metrics: dict[str, Any], title: str, key: str) -> str:
    budgets = list(metrics["eps"])
    labels = list(metrics["eps"][budgets[0]][key])
    lines = [title, f"{'class':>16}  " + "  ".join(f"{'eps ' + e:>9}" for e in budgets)]
    for label in labels:
        cells = (metrics["eps"][e][key][label] for e in budgets)
        lines.append(f"{label:>16}  " + "  ".join(f"{_cell(c):>9}" for c in cells))
    return "\n".join(lines)


def _budgets(metrics: dict[str, Any]) -> str:
    q2 = metrics["q2"]
    lines = [
        "Q2: least eps that gets there (mean over images)",
        f"{'half of the predictions changed (stability@50)':>48}  {_cell(q2['stability50']):>9}",
    ]
    for gamma, value in q2["accuracy"].items():
        lines.append(f"{f'pixel accuracy down to {gamma}':>48}  {_cell(value):>9}")
    for label, row in q2["fnr"].items():
        for gamma, value in row.items():
            lines.append(f"{f'FNR of {label} up to {gamma}':>48}  {_cell(value):>9}")
    return "\n".join(lines)


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
