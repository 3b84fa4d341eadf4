"""`lipdeploy certify`: certified metrics of a file on labelled data."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from lipdeploy.cli.trust import TRUST, UNVERIFIED
from lipdeploy.core.dataset import Dataset, load_dataset
from lipdeploy.core.errors import InputError
from lipdeploy.core.figures import at_least, at_most
from lipdeploy.core.manifest import LEVEL_MEANING
from lipdeploy.runtime.evaluation import Evaluation, evaluate
from lipdeploy.runtime.session import check_level, checked_eps, open_session
from lipdeploy.runtime.shards import merge, parse_shard, shard_file, write_shard

HELP = """Certify a model file on a labelled split: the worst accuracy under any perturbation.

Runs the file itself; eps is an l2 norm at the network's input, images in [0, 1]. Writes
metrics.json and per_image.csv to runs/certify/NAME. `--shard i/n` certifies every n-th image and
leaves a shard there; `certify --merge` joins all of them into the figures of one run.

\b
Example: lipdeploy certify polyps.onnx --data polyps.yaml --eps 0.1 --eps 0.25
"""


@click.command(help=HELP)
@click.argument("model", type=click.Path(path_type=Path), required=False)
@click.option("--data", type=click.Path(path_type=Path), help="Data set YAML file.")
@click.option("--split", default="val", show_default=True)
@click.option("--eps", type=float, multiple=True, default=(0.1, 0.25), show_default=True)
@click.option("--shard", metavar="I/N", help="Certify part I of N only.")
@click.option("--merge", "merging", is_flag=True, help="Join the shards of this --name.")
@click.option("--project", type=click.Path(path_type=Path), default=Path("runs/certify"))
@click.option("--name", default="exp", show_default=True, help="Run folder under --project.")
@UNVERIFIED
@TRUST
def command(
    model: Path | None,
    data: Path | None,
    split: str,
    eps: tuple[float, ...],
    shard: str | None,
    merging: bool,
    project: Path,
    name: str,
    unverified: bool,
    trust: tuple[Path, ...],
) -> int:
    """Certify a model file on a labelled split."""
    folder = project / name
    if merging:
        _write(merge(folder), folder)
        return 0
    if model is None or data is None:
        raise InputError("certify needs a MODEL and --data, or --merge")
    part = parse_shard(shard) if shard else (1, 1)
    budgets = tuple(sorted({checked_eps(value) for value in eps}))
    found = _evaluate(model, load_dataset(data), split, budgets, part, unverified, trust)
    folder.mkdir(parents=True, exist_ok=True)
    if shard is None:
        _write(found, folder)
        return 0
    write_shard(shard_file(folder, part), found)
    click.echo(f"Results saved to {shard_file(folder, part)}; join them with --merge")
    return 0


def _evaluate(
    model: Path,
    dataset: Dataset,
    split: str,
    eps: tuple[float, ...],
    shard: tuple[int, int],
    unverified: bool,
    trust: tuple[Path, ...],
) -> Evaluation:
    pairs = list(enumerate(dataset.pairs(split)))[shard[0] - 1 :: shard[1]]
    with open_session(model) as session:
        check_level(session, unverified, trust)
        if session.manifest.class_names != dataset.class_names:
            raise InputError(
                f"{model} has classes {', '.join(session.manifest.class_names)}; "
                f"{dataset.source} has {', '.join(dataset.class_names)}; they must be the same"
            )
        with click.progressbar(length=len(pairs), label="certifying", file=sys.stderr) as bar:
            return evaluate(session, pairs, eps, bar.update)


def _write(found: Evaluation, folder: Path) -> None:
    (folder / "metrics.json").write_text(json.dumps(found.metrics(), indent=2), encoding="utf-8")
    found.write_rows(folder / "per_image.csv")
    click.echo(_tables(found))
    click.echo(f"\nResults saved to {folder}")


def _tables(found: Evaluation) -> str:
    metrics = found.metrics()
    level = metrics["level"]
    head = (
        f"{metrics['images']} images, pixel accuracy {_low(metrics['pixel_accuracy'])}, "
        f"mIoU {_low(metrics['miou'])}, L <= {at_most(metrics['lipschitz'], 6)}\n"
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
            f"{eps:>10}  {_low(row['crpa']):>7}  {_low(row['crs']):>7}  "
            f"{_low(row['pixelwise_crpa']):>14}  {_low(row['pixelwise_crs']):>13}"
        )
    return "\n".join(lines)


def _classes(metrics: dict[str, Any]) -> list[str]:
    return [
        _by_class(metrics, "Q1: largest FNR (mean over images with the class)", "worst_fnr", _high),
        _by_class(metrics, "Q1: least class IoU over the data set", "worst_iou_dataset", _low),
    ]


def _by_class(
    metrics: dict[str, Any], title: str, key: str, cell: Callable[[float | None], str]
) -> str:
    budgets = list(metrics["eps"])
    labels = list(metrics["eps"][budgets[0]][key])
    lines = [title, f"{'class':>16}  " + "  ".join(f"{'eps ' + e:>9}" for e in budgets)]
    for label in labels:
        cells = (metrics["eps"][e][key][label] for e in budgets)
        lines.append(f"{label:>16}  " + "  ".join(f"{cell(c):>9}" for c in cells))
    return "\n".join(lines)


def _budgets(metrics: dict[str, Any]) -> str:
    q2 = metrics["q2"]
    lines = [
        "Q2: least eps that gets there (mean over images)",
        f"{'half of the predictions changed (stability@50)':>48}  {_low(q2['stability50']):>9}",
    ]
    for gamma, value in q2["accuracy"].items():
        lines.append(f"{f'pixel accuracy down to {gamma}':>48}  {_low(value):>9}")
    for label, row in q2["fnr"].items():
        for gamma, value in row.items():
            lines.append(f"{f'FNR of {label} up to {gamma}':>48}  {_low(value):>9}")
    return "\n".join(lines)


def _low(value: float | None) -> str:
    return "-" if value is None else at_least(value)


def _high(value: float | None) -> str:
    return "-" if value is None else at_most(value)
