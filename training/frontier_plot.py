"""The accuracy-robustness curve of sweeps, as Figure 5 of the paper draws it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib.figure
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke

from lipdeploy.core.errors import InputError
from lipdeploy.training.sweep_record import Row

# Okabe and Ito, told apart by the colour-blind; a second round has other markers.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
MARKERS = ("o", "s", "^", "D")
ALONG = ("tau", "eps")


def draw_frontiers(tables: Mapping[str, Sequence[Row]], path: Path, title: str) -> Path | None:
    """Draw mIoU over stability@50, one curve a variant; None if no run has both figures.

    A curve goes along the temperature (or eps, or the only swept option), whose values stand at
    its points; every other combination of options is a curve of its own.

    Args:
        tables: rows of sweeps under their names.
        path: the picture to write.
        title: above it.
    """
    curves = _curves(tables)
    if not curves:
        return None
    figure = matplotlib.figure.Figure(figsize=(7.5, 5), layout="constrained")
    axis = figure.subplots()
    for index, (label, (along, rows)) in enumerate(curves.items()):
        _draw_curve(axis, index, label, along, rows)
    axis.set(
        title=title,
        xlabel="stability@50: least l2 budget that could change half of the predictions",
        ylabel="mIoU on the validation images",
    )
    axis.margins(0.08)
    axis.set_xlim(left=0)
    axis.grid(alpha=0.3)
    axis.spines[["top", "right"]].set_visible(False)
    if len(curves) > 1:
        axis.legend(frameon=False)
    figure.savefig(path, dpi=120)
    return path


def _curves(tables: Mapping[str, Sequence[Row]]) -> dict[str, tuple[str, list[Row]]]:
    """Rows of each variant in the order of the option they go along."""
    curves: dict[str, tuple[str, list[Row]]] = {}
    for name, rows in tables.items():
        along = _along(rows)
        for row in rows:
            if row.get("stability50") and row.get("miou"):
                label = _label(name if len(tables) > 1 else "", row, along)
                curves.setdefault(label, (along, []))[1].append(row)
    for along, rows in curves.values():
        rows.sort(key=lambda row: _order(row[along]))
    return curves


def swept(row: Row) -> list[str]:
    """Names of the swept options: the columns before `run`."""
    columns = list(row)
    return columns[: columns.index("run")]


def _along(rows: Sequence[Row]) -> str:
    if not rows or not swept(rows[0]):
        raise InputError("a sweep without options has no curve; expected a sweep.csv with rows")
    names = swept(rows[0])
    return next((name for name in ALONG if name in names), names[-1])


def _label(name: str, row: Row, along: str) -> str:
    others = [f"{key} {row[key]}" for key in swept(row) if key != along]
    return ", ".join([*([name] if name else []), *others])


def _order(value: str) -> tuple[float, str]:
    try:
        return float(value), value
    except ValueError:
        return 0.0, value


def _draw_curve(axis: Axes, index: int, label: str, along: str, rows: Sequence[Row]) -> None:
    x = [float(row["stability50"]) for row in rows]
    y = [float(row["miou"]) for row in rows]
    marker = MARKERS[index // len(COLOURS) % len(MARKERS)]
    colour = COLOURS[index % len(COLOURS)]
    axis.plot(x, y, marker=marker, color=colour, label=label, linewidth=1.5)
    for row, place in zip(rows, zip(x, y, strict=True), strict=True):
        axis.annotate(
            f"{along} {row[along]}",
            place,
            (6, 5),
            textcoords="offset points",
            fontsize=8,
            color=colour,
            path_effects=[withStroke(linewidth=2.5, foreground="white")],
            zorder=3,
        )
