"""A sweep as a table to read, and what one option does when all others stay the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

from lipdeploy.training.sweep_record import Row

MISSING = "-"

# Column of sweep.csv, its heading, the factor and format of what is shown.
FIGURES: tuple[tuple[str, str, float, str], ...] = (
    ("miou", "mIoU", 100.0, ".1f"),
    ("pixel_accuracy", "pixel accuracy", 100.0, ".1f"),
    ("crpa_0.1", "CRPA@0.1", 100.0, ".1f"),
    ("crpa_0.25", "CRPA@0.25", 100.0, ".1f"),
    ("stability50", "stability@50", 1.0, ".3f"),
    ("parameters", "parameters", 1.0, ",.0f"),
    ("processor_seconds", "processor s", 1.0, ",.0f"),
)


def markdown_table(rows: Sequence[Row], options: Sequence[str]) -> str:
    """Rows in Markdown: the swept options, then figures; shares in percent.

    A run without figures says its state, and a figure that it does not have is a dash: CRPA and
    stability@50 of an unconstrained network, which carries no certificate.
    """
    headings = [*options, *(heading for _, heading, _, _ in FIGURES)]
    rule = ["---"] * len(options) + ["---:"] * len(FIGURES)
    body = [[*(row[name] for name in options), *_cells(row)] for row in rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [headings, rule, *body]) + "\n"


def paired_means(
    rows: Sequence[Row], option: str, figure: str, others: Sequence[str]
) -> tuple[dict[str, float], int]:
    """Mean of a figure for each value of an option, over what all its values have in common.

    Args:
        rows: runs of a sweep.
        option: whose effect is asked for.
        figure: column of the figure.
        others: the other options; a combination of them counts if every value of `option` has the
            figure there.

    Returns:
        Value of the option to mean, in the order of the rows, and the number of combinations.
        No means without any combination.
    """
    values = list(dict.fromkeys(row[option] for row in rows))
    found: dict[tuple[str, ...], dict[str, float]] = {}
    for row in rows:
        if row.get(figure):
            setting = tuple(row[name] for name in others)
            found.setdefault(setting, {})[row[option]] = float(row[figure])
    complete = [figures for figures in found.values() if len(figures) == len(values)]
    if not complete:
        return {}, 0
    return {v: fmean(figures[v] for figures in complete) for v in values}, len(complete)


def effect_line(option: str, figure: str, means: Mapping[str, float], count: int) -> str:
    """One sentence on `paired_means` of a share, best value first."""
    if not means:
        return f"{option}: no combination of the other options is done for all its values."
    ordered = sorted(means.items(), key=lambda item: -item[1])
    best = ordered[0][1]
    listed = [f"{value} {100 * mean:.1f} ({100 * (mean - best):+.1f})" for value, mean in ordered]
    return f"{option}: mean {figure} over {count} combinations: {', '.join(listed)}."


def _cells(row: Row) -> list[str]:
    if row["state"] != "done":
        return [row["state"], *[MISSING] * (len(FIGURES) - 1)]
    return [
        format(factor * float(row[key]), form) if row.get(key) else MISSING
        for key, _, factor, form in FIGURES
    ]
