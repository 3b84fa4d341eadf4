"""Constraint x loss x architecture on the pet data: the comparison of the paper's App. D.

Trains every combination with `lipdeploy train --sweep` and writes comparison.csv and comparison.md
beside its runs. Finished runs are kept: start it again to go on. CRPA and stability@50 are those of
validation during training (L = 1, the best epoch); an unconstrained network has none. Run it at the
root of the repository.

    LIPDEPLOY_DATA=/data python benchmarks/comparison.py --imgsz 64 --epochs 30 [--jobs 2]
        [--constraint orthogonal,lipschitz,none] [--loss cross-entropy,hkr,cosine,certificate]
        [--arch deeplabv3,fcn,unet] [--tau 20] [--eps 0.25] [--seed 0] [OPTION OF TRAIN ...]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from lipdeploy.training.sweep_record import Row, read_table, write_table
from lipdeploy.training.sweep_table import effect_line, markdown_table, paired_means

DATA = Path("samples/datasets/pet3.yaml")
SWEPT = {
    "constraint": "orthogonal,lipschitz,none",
    "loss": "cross-entropy,hkr,cosine,certificate",
    "arch": "deeplabv3,fcn,unet",
    "seed": "0",
}


def parsed() -> tuple[argparse.Namespace, list[str]]:
    """Options of the comparison, and those that go to every training as they are."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--imgsz", default="64")
    parser.add_argument("--epochs", default="30")
    parser.add_argument("--tau", default="20")
    parser.add_argument("--eps", default="0.25")
    parser.add_argument("--jobs", default="1")
    parser.add_argument("--project", type=Path, default=Path("runs/train"))
    parser.add_argument("--name", default="comparison")
    for option, values in SWEPT.items():
        parser.add_argument(f"--{option}", default=values, help="values, with commas between them")
    return parser.parse_known_args()


def train(options: argparse.Namespace, rest: list[str]) -> tuple[list[str], int]:
    """Run the sweep; the command and its exit code."""
    shared = ("data", "imgsz", "epochs", "tau", "eps", "jobs", "project", "name")
    command = ["lipdeploy", "train"]
    for option in shared:
        command += [f"--{option}", str(getattr(options, option))]
    for option in SWEPT:
        command += ["--sweep", f"{option}={getattr(options, option)}"]
    command += rest
    return command, subprocess.call([sys.executable, "-m", *command])


def report(rows: list[Row], command: list[str]) -> str:
    """The table, what each choice does on its own, and how to get it again."""
    names = list(SWEPT)
    lines = []
    for option in names[:-1]:
        others = [name for name in names if name != option]
        for figure, label in (("miou", "mIoU"), ("crpa_0.25", "CRPA@0.25")):
            certified = [r for r in rows if figure == "miou" or r["constraint"] != "none"]
            means, count = paired_means(certified, option, figure, others)
            if len(means) > 1:
                lines.append(f"* {effect_line(option, label, means, count)}")
    effects = "".join(f"{line}\n" for line in lines)
    return f"{markdown_table(rows, names)}\n{effects}\n```\n{' '.join(command)}\n```\n"


def main() -> int:
    """Train, write both tables, print one."""
    options, rest = parsed()
    command, code = train(options, rest)
    folder = options.project / options.name
    if not (folder / "sweep.csv").is_file():
        return code
    rows = read_table(folder / "sweep.csv")
    write_table(rows, folder / "comparison.csv")
    text = report(rows, command)
    (folder / "comparison.md").write_text(text, encoding="utf-8")
    print(text)
    return code


if __name__ == "__main__":
    sys.exit(main())
