"""The tables that `lipdeploy certify` prints, as in Tables 2 and 3 of the paper."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from lipdeploy.core.figures import at_least, at_most
from lipdeploy.core.manifest import LEVEL_MEANING

METRICS = ("accuracy", "stability", "fnr", "iou")
WIDTH = 100

Metrics = Mapping[str, Any]
Column = tuple[str, Sequence[str]]


def tables(metrics: Metrics, chosen: Collection[str] = METRICS) -> str:
    """The chosen tables below one line on the data and one on the level."""
    return "\n\n".join([_head(metrics), *_q1(metrics, chosen), *_q2(metrics, chosen)])


def _head(metrics: Metrics) -> str:
    level = metrics["level"]
    bound = metrics["lipschitz"]
    known = "L not verified" if bound is None else f"L <= {at_most(bound, 6)}"
    note = "" if level != "none" else "; nothing is claimed: every radius counts as 0"
    roi = f", inside {metrics['roi']['name']}" if metrics["roi"] else ""
    return (
        f"{metrics['images']} images{roi}, pixel accuracy {_low(metrics['pixel_accuracy'])}, "
        f"mIoU {_low(metrics['miou'])}, {known}\n"
        f"level {level}: {LEVEL_MEANING[level]}{note}"
    )


def _q1(metrics: Metrics, chosen: Collection[str]) -> Iterator[str]:
    rows = ["0 (clean)", *metrics["eps"]]
    shares = [*_shares(metrics, chosen)]
    if shares:
        title = "Q1: least share of pixels, whatever the perturbation up to eps (mean over images)"
        yield _table(title, "eps (l2)", rows, shares)
    if "fnr" in chosen:
        title = "Q1: largest FNR of a class (mean over images with the class)"
        yield _table(title, "eps (l2)", rows, _by_class(metrics, "fnr", "worst_fnr", _high))
    if "iou" in chosen:
        title = "Q1: worst reachable class IoU over the data set, each image with its own eps"
        columns = _by_class(metrics, "iou_dataset", "worst_iou_dataset", _low)
        yield _table(title, "eps (l2)", rows, columns)


def _shares(metrics: Metrics, chosen: Collection[str]) -> Iterator[Column]:
    for metric, key, clean in (
        ("accuracy", "crpa", metrics["pixel_accuracy"]),
        ("stability", "crs", 1.0 if metrics["pixels"] else None),
    ):
        for prefix, name in (("", ""), ("pixelwise_", "pixelwise ")):
            if metric in chosen:
                found = (_low(row[f"{prefix}{key}"]) for row in metrics["eps"].values())
                yield f"{name}{key.upper()}", [_low(clean), *found]


def _by_class(
    metrics: Metrics, clean: str, key: str, cell: Callable[[float | None], str]
) -> list[Column]:
    found = metrics["eps"].values()
    return [
        (label, [cell(value), *(cell(row[key][label]) for row in found)])
        for label, value in metrics["clean"][clean].items()
    ]


def _q2(metrics: Metrics, chosen: Collection[str]) -> Iterator[str]:
    both = (("", "eps"), ("pixelwise_", "pixelwise eps"))
    q2 = metrics["q2"]
    if "accuracy" in chosen and q2["accuracy"]:
        columns = [(name, [*map(_low, q2[f"{p}accuracy"].values())]) for p, name in both]
        title = "Q2: least eps that brings the pixel accuracy down to gamma (mean over images)"
        yield _table(title, "gamma", [*q2["accuracy"]], columns)
    if "stability" in chosen:
        columns = [(name, [_low(q2[f"{p}stability50"])]) for p, name in both]
        title = (
            "Q2: least eps that changes half of the predictions, stability@50 (mean over images)"
        )
        yield _table(title, "share", ["0.5"], columns)
    if "fnr" in chosen:
        columns = [(label, [*map(_low, row.values())]) for label, row in q2["fnr"].items()]
        gammas = [*next(iter(q2["fnr"].values()))]
        title = "Q2: least eps that brings the FNR of a class up to gamma (mean over its images)"
        yield from [_table(title, "gamma", gammas, columns)] if gammas else []


def _table(title: str, corner: str, rows: Sequence[str], columns: Sequence[Column]) -> str:
    """Right-aligned cells; columns that do not fit into the width go into a block below."""
    left = max(len(text) for text in (corner, *rows))
    blocks = ["\n".join(_block(corner, rows, block, left)) for block in _blocks(columns, left)]
    return f"{title}\n" + "\n\n".join(blocks)


def _block(corner: str, rows: Sequence[str], columns: Sequence[Column], left: int) -> Iterator[str]:
    yield f"{corner:>{left}}" + "".join(f"  {name:>{_width(name)}}" for name, _ in columns)
    for place, row in enumerate(rows):
        cells = (f"  {cells[place]:>{_width(name)}}" for name, cells in columns)
        yield f"{row:>{left}}" + "".join(cells)


def _blocks(columns: Sequence[Column], left: int) -> Iterator[list[Column]]:
    block: list[Column] = []
    used = left
    for column in columns:
        needed = _width(column[0]) + 2
        if block and used + needed > WIDTH:
            yield block
            block, used = [], left
        block.append(column)
        used += needed
    yield block


def _width(name: str) -> int:
    return max(8, len(name))


def _low(value: float | None) -> str:
    return "-" if value is None else at_least(value)


def _high(value: float | None) -> str:
    return "-" if value is None else at_most(value)
