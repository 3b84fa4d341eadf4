"""Our recipe against the paper's and the unconstrained twin, at equal training time.

Every run is trained by the command that users have; the figures are those of the validation split
at the best epoch, with the network's own constant of 1, and L is bounded from the weights that
`lipdeploy export` writes. Two recipes are exported and certified too (seed 0), as a check of those
figures: the last column is that of the file. Finished runs are kept: start it again to go on.
The epochs of each recipe are chosen so that all take about the same processor time on this kind of
machine, and the time that each took stands in the table.

    LIPDEPLOY_DATA=/data python benchmarks/recipes.py [--plan small|gpu] [--jobs 2] [--only kvasir]

`small` is what two CPU cores can do: S at 64x64 and 72x96. `gpu` is S and M1 at 256x256.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import statistics
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch

from lipdeploy.export.fold import folded
from lipdeploy.export.trunk import trunk_model
from lipdeploy.export.verifier.graph import Graph
from lipdeploy.export.verifier.lipschitz import graph_bound
from lipdeploy.training.checkpoint import Checkpoint, load_checkpoint

EPS = ("0.1", "0.17", "0.25")
# Options of `lipdeploy train`. Of the paper: App. F, with the temperatures of Kvasir-SEG (5) and of
# Cityscapes (20).
PAPER = ("--variant", "paper", "--lr", "1e-3", "--ema", "0")
OURS = ("--lr", "5e-3", "--ema", "0.99")
RECIPES: dict[str, tuple[str, ...]] = {
    "paper, tau 5": (*PAPER, "--tau", "5"),
    "paper, tau 20": (*PAPER, "--tau", "20"),
    "paper's network, our settings, tau 20": ("--variant", "paper", *OURS, "--tau", "20"),
    "ours, tau 10": (*OURS, "--tau", "10"),
    "ours, tau 20": (*OURS, "--tau", "20"),
    "ours, tau 100": (*OURS, "--tau", "100", "--fitness", "miou"),
    "twin": ("--constraint", "none", "--lr", "1e-3", "--tau", "1", "--fitness", "miou"),
}
CERTIFIED = ("paper, tau 20", "ours, tau 10")
AUGMENTATION = {
    "kvasir": ("--vertical-flip", "0.5", "--rotate", "30"),
    "camvid": ("--rotate", "3"),
}
FIGURES = ("pixel_accuracy", "miou", *(f"crpa_{eps}" for eps in EPS), "stability50")


@dataclass(frozen=True)
class Run:
    """One training with its certificate."""

    data: str
    size: str
    imgsz: str
    recipe: str
    epochs: int
    seed: int

    @property
    def certified(self) -> bool:
        """Whether its file is written and certified."""
        return self.seed == 0 and self.recipe in CERTIFIED

    @property
    def folder(self) -> str:
        """Name of the run, also of its certificate."""
        recipe = re.sub(r"[^a-z0-9]+", "_", self.recipe)
        return f"{self.data}_{self.size}_{self.imgsz}_{recipe}_{self.epochs}_{self.seed}"


def small_plan() -> list[Run]:
    """Size S; epochs of about equal processor time, the paper's form costs three times as much."""
    epochs = {"kvasir": (3, 9, 10), "camvid": (4, 12, 14)}
    sizes = {"kvasir": "64", "camvid": "72x96"}
    runs = []
    for seed in (0, 1, 2):
        for data, (paper, ours, _) in epochs.items():
            of = {"paper, tau 20": paper, "ours, tau 10": ours}
            runs += [
                Run(data, "S", sizes[data], recipe, count, seed) for recipe, count in of.items()
            ]
    return runs + [
        Run(data, "S", sizes[data], recipe, epochs[data][place], 0)
        for data, recipe, place in (
            ("kvasir", "twin", 2),
            ("camvid", "twin", 2),
            ("kvasir", "paper, tau 5", 0),
            ("kvasir", "ours, tau 20", 1),
            ("camvid", "ours, tau 20", 1),
            ("kvasir", "ours, tau 100", 1),
            ("camvid", "ours, tau 100", 1),
            ("kvasir", "paper's network, our settings, tau 20", 0),
        )
    ]


def gpu_plan() -> list[Run]:
    """Sizes S and M1 at 256x256, as long as the paper trains, for one seed each."""
    return [
        Run(data, size, "256", recipe, 200, 0)
        for size in ("S", "M1")
        for data in ("kvasir", "camvid")
        for recipe in ("paper, tau 5", "paper, tau 20", "ours, tau 10", "ours, tau 20", "twin")
    ]


def trained(run: Run, project: Path, device: Sequence[str]) -> None:
    """Train, and for some export and certify, what is not there yet."""
    data = f"samples/datasets/{run.data}.yaml"
    done = project / f"{run.folder}.done"
    if not done.is_file():
        options = [*RECIPES[run.recipe], *AUGMENTATION[run.data], *device, "--size", run.size]
        options += ["--imgsz", run.imgsz, "--epochs", str(run.epochs), "--seed", str(run.seed)]
        options += ["--project", str(project), "--name", run.folder]
        options += ["--resume"] if (project / run.folder / "last.pt").is_file() else []
        _lipdeploy(project, run, "train", "--data", data, *options)
        done.touch()
    if run.certified and not metrics_of(run, project).is_file():
        checkpoint, model = project / run.folder / "ckpt.pt", project / f"{run.folder}.onnx"
        if not model.is_file():
            _lipdeploy(project, run, "export", str(checkpoint), str(model), "--data", data)
        budgets = [text for eps in EPS for text in ("--eps", eps)]
        target = ["--project", str(project / "certify"), "--name", run.folder]
        _lipdeploy(project, run, "certify", str(model), "--data", data, *budgets, *target)


def metrics_of(run: Run, project: Path) -> Path:
    """What `certify` wrote on the exported file of a run."""
    return project / "certify" / run.folder / "metrics.json"


def _lipdeploy(project: Path, run: Run, *arguments: str) -> None:
    command = [sys.executable, "-m", "lipdeploy", *arguments]
    with (project / f"{run.folder}.log").open("a", encoding="utf-8") as log:
        subprocess.run(command, check=True, stdout=log, stderr=subprocess.STDOUT)


def row(run: Run, project: Path) -> dict[str, str | float]:
    """One line of the table; what was not certified is left empty."""
    checkpoint = load_checkpoint(project / run.folder / "ckpt.pt")
    whole = load_checkpoint(project / run.folder / "last.pt").training
    crpa: str | float = ""
    if run.certified:
        found = json.loads(metrics_of(run, project).read_text(encoding="utf-8"))
        crpa = found["eps"]["0.25"]["crpa"]
    return {
        **vars(run),
        "parameters": sum(p.numel() for p in checkpoint.network.parameters()),
        "processor_minutes": whole["processor_seconds"] / 60,
        "device": str(whole["device"]),
        **checkpoint.metrics,
        "lipschitz": bound_of(checkpoint),
        "crpa_0.25_of_file": crpa,
    }


def bound_of(checkpoint: Checkpoint) -> float:
    """The constant of the folded weights, as `verify` bounds it from the graph."""
    return graph_bound(Graph(trunk_model(folded(checkpoint.network), 64, 64))).lipschitz


def table(rows: Sequence[dict[str, str | float]]) -> str:
    """Markdown: one line for each recipe, the mean over seeds and, of several, their range."""
    groups: dict[tuple[str, ...], list[dict[str, str | float]]] = {}
    for one in rows:
        key = tuple(str(one[name]) for name in ("data", "size", "imgsz", "recipe", "epochs"))
        groups.setdefault(key, []).append(one)
    names = ("data set", "size", "input", "recipe", "epochs", "seeds", "parameters", "minutes")
    heads = (
        *names,
        "accuracy",
        "mIoU",
        "CRPA@0.1",
        "CRPA@0.17",
        "CRPA@0.25",
        "stab.@50",
        "L",
        "certified",
    )
    lines = [f"| {' | '.join(heads)} |", "|" + " --- |" * len(heads)]
    for key, members in sorted(groups.items()):
        minutes = statistics.mean(float(m["processor_minutes"]) for m in members)
        cells = [*key, str(len(members)), str(members[0]["parameters"]), f"{minutes:.1f}"]
        cells += [_cell([float(m[name]) for m in members], name) for name in FIGURES]
        largest = max(float(m["lipschitz"]) for m in members)
        cells.append(f"{largest:.6f}" if largest < 10 else f"{largest:.3g}")
        cells.append(
            "".join(f"{m['crpa_0.25_of_file']:.4f}" for m in members if m["crpa_0.25_of_file"])
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(values: Sequence[float], name: str) -> str:
    digits = 2 if name == "stability50" else 4
    mean = f"{statistics.mean(values):.{digits}f}"
    half = (max(values) - min(values)) / 2
    return mean if len(values) == 1 else f"{mean} ±{half:.{digits}f}"


def main() -> int:
    """Run the plan and write recipes.csv and recipes.md."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--plan", choices=("small", "gpu"), default="small")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--only", default="", help="runs whose name contains this")
    parser.add_argument("--finished", action="store_true", help="only the table of what there is")
    parser.add_argument("--project", type=Path, default=Path("runs/recipes"))
    options = parser.parse_args()
    project = options.project
    project.mkdir(parents=True, exist_ok=True)
    plan = small_plan() if options.plan == "small" else gpu_plan()
    runs = [run for run in plan if options.only in run.folder]
    if options.finished:
        runs = [run for run in runs if (project / f"{run.folder}.done").is_file()]
    device = ["--device", "cuda"] if torch.cuda.is_available() else ["--threads", "1"]
    with ThreadPoolExecutor(options.jobs) as pool:
        list(pool.map(lambda run: trained(run, project, device), runs))
    rows = [row(run, project) for run in runs]
    with (project / "recipes.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    (project / "recipes.md").write_text(table(rows), encoding="utf-8")
    print(table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
