"""curve.png. The only file of this room that needs matplotlib."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib.figure
from matplotlib.axes import Axes

from lipdeploy.core.figures import at_least, at_most
from lipdeploy.runtime.evaluation.curve import CLEAN_ACCURACY, CLEAN_FNR, read_curve

# Okabe and Ito, told apart by the colour-blind; a second round is dashed.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
DASHES = ("-", "--", "-.")

Columns = Mapping[str, Sequence[float]]


def plot_curve(source: Path, title: str) -> Path:
    """Draw curve.csv to curve.png beside it.

    Left the shares of pixels, right the largest FNR of each class; horizontal lines are the values
    of the unattacked network. Between two budgets the value of the larger one is drawn, which the
    bound is never worse than.
    """
    columns = read_curve(source)
    figure = matplotlib.figure.Figure(figsize=(12, 4.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    _shares(left, columns)
    _false_negatives(right, columns)
    for axis in (left, right):
        axis.set(
            xlabel="budget eps (l2 norm of the perturbation, image in [0, 1])", ylim=(-0.02, 1.02)
        )
        axis.set_xlim(0, max(columns["eps"]) or None)
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
        axis.legend(
            loc="upper left",
            bbox_to_anchor=(1.01, 1),
            frameon=False,
            fontsize="small",
            title="thick: at worst under eps\nthin: not attacked (value)",
            title_fontsize="small",
            alignment="left",
        )
    figure.suptitle(_plain(title))
    path = source.with_suffix(".png")
    figure.savefig(path, dpi=120)
    return path


def _shares(axis: Axes, columns: Columns) -> None:
    names = {
        "crs": ("CRS: unchanged", COLOURS[2], "-"),
        "crpa": ("CRPA: correct", COLOURS[0], "-"),
        "pixelwise_crs": ("pixelwise CRS", COLOURS[2], ":"),
        "pixelwise_crpa": ("pixelwise CRPA", COLOURS[0], "--"),
    }
    clean = columns[CLEAN_ACCURACY][0]
    axis.axhline(clean, color="#888888", lw=1, label=f"clean accuracy ({at_least(clean)})")
    for key, (label, colour, dash) in names.items():
        axis.step(columns["eps"], columns[key], dash, where="pre", color=colour, label=label)
    axis.set(ylabel="share of pixels, at least (mean over images)", title="Accuracy and stability")


def _false_negatives(axis: Axes, columns: Columns) -> None:
    labels = [key.removeprefix("worst_fnr/") for key in columns if key.startswith("worst_fnr/")]
    for place, label in enumerate(labels):
        colour = COLOURS[place % len(COLOURS)]
        dash = DASHES[place // len(COLOURS) % len(DASHES)]
        clean = columns[f"{CLEAN_FNR}/{label}"][0]
        if clean != clean:  # no image has the class
            continue
        axis.axhline(clean, color=colour, lw=0.8, ls=dash, alpha=0.6)
        name = f"{_plain(label)} ({at_most(clean)})"
        worst = columns[f"worst_fnr/{label}"]
        axis.step(columns["eps"], worst, dash, where="pre", color=colour, label=name)
    axis.set(
        ylabel="false negative rate, at most (mean over images)", title="Missed pixels by class"
    )


def _plain(text: str) -> str:
    """The text as it is: matplotlib reads dollars as formulas and hides what begins with _."""
    escaped = text.replace("$", r"\$")
    return f" {escaped}" if escaped.startswith("_") else escaped
