"""The layout of metrics.json."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lipdeploy.runtime.evaluation.header import Header
from lipdeploy.runtime.evaluation.questions import CLASS_BOUNDS, SHARES


@dataclass(frozen=True)
class Totals:
    """What is known once all images were seen.

    Attributes:
        images: number of them.
        pixels: labelled pixels.
        means: over the images that have the figure, by key of `Questions.columns`; None without.
        miou: of the summed confusion counts, nothing attacked.
        iou: clean class IoU of the summed counts, NaN for a class that never occurs.
        worst_iou: for each class and eps, least class IoU over the data set.
        pixelwise_iou: the same where every pixel alone faces the whole budget.
    """

    images: int
    pixels: int
    means: Mapping[str, float | None]
    miou: float
    iou: Mapping[str, float]
    worst_iou: Sequence[Sequence[float]]
    pixelwise_iou: Sequence[Sequence[float]]


def metrics_of(header: Header, totals: Totals) -> dict[str, Any]:
    """`metrics.json`: means over images unless the key says otherwise, null where there is none."""
    manifest, labels = header.manifest, header.questions.class_names
    return {
        "images": totals.images,
        "pixels": totals.pixels,
        "pixel_accuracy": totals.means["pixel_accuracy"],
        "miou": _finite(totals.miou),
        "lipschitz": manifest.lipschitz if header.claims else None,
        "level": manifest.numerics.level,
        "data": header.data,
        "split": header.split,
        "roi": header.roi,
        "weights_sha256": manifest.weights_sha256,
        "content_sha256": header.content_sha256,
        "clean": {
            "iou_dataset": {label: _finite(totals.iou[label]) for label in labels},
            "iou": {label: totals.means[f"iou/{label}"] for label in labels},
            "fnr": {label: totals.means[f"fnr/{label}"] for label in labels},
        },
        "eps": {str(eps): _q1(header, totals, e) for e, eps in enumerate(header.questions.eps)},
        "q2": {**_q2(header, totals, ""), **_q2(header, totals, "pixelwise_")},
    }


def _q1(header: Header, totals: Totals, e: int) -> dict[str, Any]:
    eps, labels = header.questions.eps[e], header.questions.class_names
    by_class = {
        key: {label: totals.means[f"{key}@{eps}/{label}"] for label in labels}
        for key in CLASS_BOUNDS
    }
    whole = {
        "worst_iou_dataset": totals.worst_iou,
        "pixelwise_worst_iou_dataset": totals.pixelwise_iou,
    }
    over_data = {
        key: {label: _finite(table[k][e]) for k, label in enumerate(labels)}
        for key, table in whole.items()
    }
    return {**{key: totals.means[f"{key}@{eps}"] for key in SHARES}, **by_class, **over_data}


def _q2(header: Header, totals: Totals, prefix: str) -> dict[str, Any]:
    asked, means = header.questions, totals.means
    return {
        f"{prefix}stability50": means[f"{prefix}stability50"],
        f"{prefix}accuracy": {
            str(g): means[f"{prefix}accuracy_budget@{g}"] for g in asked.gammas_accuracy
        },
        f"{prefix}fnr": {
            label: {str(g): means[f"{prefix}fnr_budget@{g}/{label}"] for g in asked.gammas_fnr}
            for label in asked.class_names
        },
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
