"""What is read off a plan's radius: nothing where it is 0, which must not dilute sigma."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from lipdeploy.core.manifest import Manifest
from lipdeploy.core.radius import margin_from_logits
from lipdeploy.export.verifier.graph import Graph
from lipdeploy.export.verifier.parity import Frame, synthetic_frames
from lipdeploy.export.verifier.plan_check import SEED, check_plan
from lipdeploy.export.verifier.replay import Replay
from lipdeploy.runtime.model_file import model_file
from tests.export.tiny_file import tiny_file

ERROR = 1e-3


class _Plan:
    """Sees every margin `ERROR` too small."""

    engine = "tensorrt 10.3 Orin GPU"

    def __init__(self, graph: Graph, manifest: Manifest) -> None:
        self.replay, self.manifest = Replay(graph), manifest

    def outputs(self, image: Frame, eps: Sequence[float]) -> dict[str, npt.NDArray[Any]]:
        logits = np.sort(self.replay(image), 0)
        margin = logits[-1] - logits[-2] - ERROR - 2 * self.manifest.numerics.slack
        radius = np.maximum(margin / (np.sqrt(2) * self.manifest.lipschitz), 0) * (1 - 1e-6)
        return {
            "mask": self.replay(image).argmax(0)[None].astype(np.uint8),
            "radius": radius[None].astype(np.float32),
            "flips": np.full((1, len(eps)), radius.size, np.float32),
        }


def test_sigma_is_of_the_pixels_that_show_their_error() -> None:
    data = tiny_file().SerializeToString()
    manifest = model_file(data, "m").manifest
    graph = Graph(tiny_file())
    frames = synthetic_frames(4, manifest.height, manifest.width, SEED)
    margins = [margin_from_logits(Replay(graph)(frame)) for frame in frames]
    # 2 D hides most pixels
    slack = dataclasses.replace(manifest.numerics, slack=float(np.quantile(margins, 0.8)) / 2)
    manifest = dataclasses.replace(manifest, numerics=slack)
    found = check_plan(_Plan(graph, manifest), graph, manifest, "Orin", frames=4)
    assert found.largest_error >= ERROR * 0.99
    assert found.sigma >= 0.95 * ERROR / np.sqrt(2)
