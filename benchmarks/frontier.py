"""Figure 5 of the paper for several sweeps: mIoU over stability@50, one curve a variant.

python benchmarks/frontier.py frontier.png paper=runs/train/paper ours=runs/train/ours
    [--title TEXT]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from lipdeploy.training.frontier_plot import draw_frontiers
from lipdeploy.training.sweep_record import read_table


def main() -> int:
    """Draw, and say where."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("picture", type=Path)
    parser.add_argument("sweeps", nargs="+", help="NAME=FOLDER of `lipdeploy train --sweep`")
    parser.add_argument("--title", default="Accuracy and robustness")
    options = parser.parse_args()
    named = [text.partition("=") for text in options.sweeps]
    tables = {name: read_table(Path(folder or name) / "sweep.csv") for name, _, folder in named}
    if draw_frontiers(tables, options.picture, options.title) is None:
        print("no run of these sweeps has both mIoU and stability@50", file=sys.stderr)
        return 1
    print(options.picture)
    return 0


if __name__ == "__main__":
    sys.exit(main())
