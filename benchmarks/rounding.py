"""What each guarantee level costs on one split: CRS, D, and the error that was seen.

    python benchmarks/rounding.py model.onnx --data data.yaml [--images N] [--eps 0.1 --eps 0.25]

`bounded (frame)` uses float64 margins less one D of that very frame and all frames within eps of
it; `bounded (model)` and `statistical` the margins of the engine less 2 D, as a file does.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np

from lipdeploy.core.dataset import load_dataset, read_image
from lipdeploy.core.objectives import kept_share
from lipdeploy.core.radius import margin_from_logits, radius_from_margin
from lipdeploy.core.resize import resized
from lipdeploy.export.verifier.execution import with_logits
from lipdeploy.export.verifier.graph import Graph, load_model
from lipdeploy.export.verifier.lipschitz import graph_bound
from lipdeploy.export.verifier.rounding.arithmetic import FLOAT64
from lipdeploy.export.verifier.rounding.bound import Rounding
from lipdeploy.runtime.model_file import read_model
from lipdeploy.runtime.onnxruntime_session import ENGINE, open_graph


def main() -> None:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--split", default="val")
    parser.add_argument("--images", type=int, default=20)
    parser.add_argument("--eps", type=float, action="append")
    parser.add_argument("--statistical-slack", type=float, help="D of the file where it is larger.")
    asked = parser.parse_args()
    print(json.dumps(measured(asked), indent=2))


def measured(asked: argparse.Namespace) -> dict[str, object]:
    """All figures of one model on one split."""
    eps = asked.eps or [0.1, 0.25]
    graph, manifest = Graph(load_model(asked.model)), read_model(asked.model).manifest
    start = time.monotonic()
    rounding, exact = Rounding(graph), Rounding(graph, FLOAT64).of_model().slack
    model = rounding.of_model()
    model_s = time.monotonic() - start
    statistical = asked.statistical_slack or manifest.numerics.slack
    lipschitz, run = graph_bound(graph).lipschitz, open_graph(with_logits(graph), 1)
    kept: dict[str, list[list[float]]] = {}
    slacks, seen, frame_s = [], 0.0, 0.0
    pairs = load_dataset(asked.data).pairs(asked.split)
    for pair in pairs[:: max(1, len(pairs) // asked.images)][: asked.images]:
        image = resized(read_image(pair.image), *rounding.shape)
        feeds = {"image": image[None], "eps": np.zeros(manifest.budgets, np.float32)}
        logits, true = run(["logits"], feeds)[0][0].astype(np.float64), rounding.replay(image)
        error = logits - true
        seen = max(seen, float((error.max(0) - error.min(0)).max()))
        float64, engine = margin_from_logits(true) - exact, margin_from_logits(logits)
        start = time.monotonic()
        balls = [rounding.of_frame(image, e).differences for e in eps]
        frame_s += time.monotonic() - start
        slacks.append(float(np.median(rounding.of_frame(image).differences)))
        rows = {
            "proved": [radius_from_margin(float64, lipschitz) for _ in eps],
            "statistical": [radius_from_margin(engine, lipschitz, statistical) for _ in eps],
            "bounded (model)": [radius_from_margin(engine, lipschitz, model.slack) for _ in eps],
            "bounded (frame)": [radius_from_margin(float64 - ball, lipschitz) for ball in balls],
        }
        for level, radii in rows.items():
            shares = [float(kept_share(r, e)) for r, e in zip(radii, eps, strict=True)]
            kept.setdefault(level, []).append(shares)
    return {
        "model": asked.model.name,
        "engine": ENGINE,
        "frames": len(slacks),
        "receptive_field": model.field,
        "largest_error_seen": seen,
        "slack": {
            "float64": exact,
            "statistical": statistical,
            "bounded (frame), median pixel": float(np.median(slacks)),
            "bounded (model)": model.slack,
        },
        "seconds": {"model": model_s, "frame": frame_s / max(1, len(slacks) * len(eps))},
        "crs": {
            level: dict(zip(map(str, eps), np.mean(rows, 0).round(4).tolist(), strict=True))
            for level, rows in kept.items()
        },
    }


if __name__ == "__main__":
    main()
