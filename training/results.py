"""results.csv and its plot."""

from __future__ import annotations

import csv
from pathlib import Path

import matplotlib.figure

from lipdeploy.training.evaluation import Metrics


def append_result(folder: Path, epoch: int, loss: float, rate: float, metrics: Metrics) -> None:
    """Append one row to results.csv, with a header in a new file."""
    row = {"epoch": epoch, "loss": f"{loss:.6f}", "lr": f"{rate:.3e}"}
    row |= {key: f"{value:.6f}" for key, value in metrics.record().items()}
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
    """Draw loss and validation metrics over epochs to results.png."""
    columns = read_results(folder)
    figure = matplotlib.figure.Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(columns["epoch"], columns["loss"], color="#444444")
    left.set(xlabel="epoch", ylabel="training loss (temperature-scaled)", title="Loss")
    labels = {"pixel_accuracy": "pixel accuracy", "miou": "mIoU"}
    for key in columns:
        if key in labels or key.startswith("crpa"):
            name = labels.get(key, key.replace("crpa_", "CRPA at eps "))
            right.plot(columns["epoch"], columns[key], label=name)
    right.set(xlabel="epoch", ylabel="share", title="Validation", ylim=(0, 1))
    right.legend(loc="lower right")
    for axis in (left, right):
        axis.grid(alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title)
    path = folder / "results.png"
    figure.savefig(path, dpi=120)
    return path
