"""A file in the reference precision: float64, with a proved bound on what float64 itself loses.

Margins are those of the real-arithmetic network of the stored weights up to a slack of about 1e-9,
which is subtracted; L is computed from the weights. So the radii hold in real arithmetic: level
`proved`, whatever the file says of itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lipdeploy.core.radius import margin_from_logits, radius_from_margin
from lipdeploy.export.verifier.graph import Graph, model_from_bytes
from lipdeploy.export.verifier.lipschitz import graph_bound
from lipdeploy.export.verifier.rounding.arithmetic import FLOAT64
from lipdeploy.export.verifier.rounding.bound import Rounding
from lipdeploy.runtime.model_file import ModelFile

Frame = npt.NDArray[np.uint8]
Map = npt.NDArray[np.float64]

_UNIT = 2.0**-53


@dataclass(frozen=True)
class Judgement:
    """One frame in the reference precision.

    Attributes:
        mask: class id of each pixel, shape (H, W).
        margin: largest less second largest logit as computed, shape (H, W).
        radius: proved l2 radius, rounded down, shape (H, W).
        ceiling: no right radius is larger, shape (H, W).
    """

    mask: npt.NDArray[np.uint8]
    margin: Map
    radius: Map
    ceiling: Map


class Reference:
    """The stored weights in float64, prepared once for many frames.

    Args:
        file: a lipdeploy model; only its graph and the class names are believed.

    Attributes:
        lipschitz: L from the stored weights.
        slack: of a logit difference, for any frame: what float64 loses.

    Raises:
        VerificationError: a graph that cannot be bounded or replayed.
    """

    def __init__(self, file: ModelFile) -> None:
        graph = Graph(model_from_bytes(file.data, file.name))
        rounding = Rounding(graph, FLOAT64)
        self.file, self.graph = file, graph
        self.lipschitz = graph_bound(graph).lipschitz
        self.slack = rounding.of_model().slack
        self._replay = rounding.replay

    def judge(self, frame: Frame) -> Judgement:
        """Evaluate one frame of the network's size, shape (H, W, 3)."""
        logits = self._replay(frame)
        margin = margin_from_logits(logits)
        # a difference of two floats is off by a relative unit more
        least = margin * (1 - 4 * _UNIT) - self.slack * (1 + 4 * _UNIT)
        most = margin * (1 + 4 * _UNIT) + self.slack * (1 + 4 * _UNIT)
        declared = max(self.lipschitz, self.file.manifest.lipschitz)
        return Judgement(
            np.asarray(logits.argmax(0), np.uint8),
            margin,
            radius_from_margin(least, self.lipschitz),
            most / (np.sqrt(2.0) * declared) * (1 + 8 * _UNIT),
        )
