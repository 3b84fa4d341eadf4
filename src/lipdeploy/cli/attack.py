"""`lipdeploy attack`: the empirical side of the certificate."""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path

import click
import numpy as np
from tqdm import tqdm

from lipdeploy.core.dataset import load_dataset
from lipdeploy.core.errors import InputError
from lipdeploy.core.figures import at_least, at_most
from lipdeploy.export.bracket import Bracket, Bracketing
from lipdeploy.runtime.session import checked_eps
from lipdeploy.training.checkpoint import load_checkpoint

HELP = """Attack a network inside the l2 ball and compare with its certificate.

Prints certificate <= attacked <= clean pixel accuracy for every eps; an image on which an attack
went below the certificate ends the command with exit 3.

\b
Example: lipdeploy attack runs/train/polyps/ckpt.pt --data polyps.yaml --eps 0.25 --images 50
"""


@click.command(help=HELP)
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option("--data", type=click.Path(path_type=Path), required=True, help="Data set YAML file.")
@click.option("--split", default="val", show_default=True)
@click.option("--eps", type=float, multiple=True, default=(0.1, 0.25), show_default=True)
@click.option("--images", type=click.IntRange(1), help="Only the first so many.  [default: all]")
@click.option("--steps", type=click.IntRange(1), default=50, show_default=True)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--project", type=click.Path(path_type=Path), default=Path("runs/attack"))
@click.option("--name", default="exp", show_default=True, help="Run folder under --project.")
def command(
    checkpoint: Path,
    data: Path,
    split: str,
    eps: tuple[float, ...],
    images: int | None,
    steps: int,
    seed: int,
    project: Path,
    name: str,
) -> int:
    """Attack a network inside the l2 ball and compare with its certificate."""
    budgets = [checked_eps(value) for value in sorted(set(eps))]
    dataset, loaded = load_dataset(data), load_checkpoint(checkpoint)
    if loaded.class_names != dataset.class_names:
        raise InputError(f"{checkpoint} and {data} have different classes; they must be the same")
    pairs = dataset.pairs(split)[:images]
    with tqdm(total=len(pairs), unit="image", dynamic_ncols=True, disable=None) as bar:
        rows = Bracketing(loaded, steps, seed).rows(pairs, budgets, bar.update)
    folder = project / name
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "per_image.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [field.name for field in dataclasses.fields(Bracket)])
        writer.writeheader()
        writer.writerows(map(dataclasses.asdict, rows))
    click.echo(_table(rows, budgets))
    click.echo(f"Results saved to {folder}")
    return 0


def _table(rows: list[Bracket], budgets: list[float]) -> str:
    lines = [f"{'eps (l2)':>10}  {'certified':>9} <= {'attacked':>9} <= {'clean':>9}  images"]
    for eps in budgets:
        mine = [row for row in rows if row.eps == eps]
        certified = at_least(float(np.mean([row.certified for row in mine])))
        attacked = at_most(float(np.mean([row.attacked for row in mine])))
        clean = at_most(float(np.mean([row.clean for row in mine])))
        lines.append(f"{eps!r:>10}  {certified:>9} <= {attacked:>9} <= {clean:>9}  {len(mine)}")
    return "\n".join(lines)
