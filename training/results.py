"""results.csv and its plot."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

import matplotlib.figure
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from lipdeploy.training.evaluation import Metrics
from lipdeploy.training.progress import Usage


def append_result(
    folder: Path, epoch: int, loss: float, rate: float, metrics: Metrics, usage: Usage
) -> None:
    """Append one row to results.csv, with a header in a new file."""
    row: dict[str, object] = {"epoch": epoch, "loss": f"{loss:.6g}", "lr": f"{rate:.3e}"}
    row |= {key: f"{value:.6f}" for key, value in metrics.record().items()}
    row |= usage.record()
    path = folder / "results.csv"
    fresh = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(row))
        if fresh:
            writer.writeheader()
        writer.writerow(row)


def read_results(folder: Path) -> dict[str, list[float]]:
    """Columns of results.csv."""
    with (folder / "results.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {key: [float(row[key]) for row in rows] for key in rows[0]} if rows else {}


def trim_results(folder: Path, epochs: int) -> None:
    """Drop rows after `epochs`, written by a run that went on after its last checkpoint."""
    path = folder / "results.csv"
    if path.exists():
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        path.write_text("".join(lines[: epochs + 1]), encoding="utf-8")


def plot_results(folder: Path, title: str) -> Path:
    """Draw loss, validation shares and stability over the epochs to results.png."""
    columns = read_results(folder)
    figure = matplotlib.figure.Figure(figsize=(13, 4.4), layout="constrained")
    loss, shares, stability = figure.subplots(1, 3)
    _draw(loss, columns, {"loss": "training"})
    loss.set(title="Training loss", ylabel="loss")
    _draw(shares, columns, {key: _share_name(key) for key in columns if _share_name(key)})
    shares.set(title="Validation: clean, and worst case (CRPA)", ylabel="share", ylim=(0, 1))
    figure.legend(loc="outside lower center", ncols=5, handles=shares.get_lines())
    _draw(stability, columns, {"stability50": "stability@50"})
    stability.set(title="Stability@50 on validation images", ylabel="l2 budget, images in [0, 1]")
    stability.set_ylim(bottom=0)
    figure.suptitle(title)
    path = folder / "results.png"
    figure.savefig(path, dpi=120)
    return path


def _share_name(key: str) -> str:
    """Name in the legend of a column that holds a share; empty for any other."""
    if key.startswith("crpa_"):
        return f"CRPA at l2 {key.removeprefix('crpa_')}"
    return {"pixel_accuracy": "pixel accuracy", "miou": "mean IoU"}.get(key, "")


def _draw(axis: Axes, columns: Mapping[str, list[float]], names: Mapping[str, str]) -> None:
    """Lines over the epochs; a run of one or two epochs shows points."""
    marker = "o" if len(columns["epoch"]) < 3 else None
    for key, name in names.items():
        axis.plot(columns["epoch"], columns[key], label=name, marker=marker)
    axis.set_xlabel("epoch")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.grid(alpha=0.3)
    axis.spines[["top", "right"]].set_visible(False)
