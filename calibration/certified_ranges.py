"""Ranges that maximise certified accuracy: coarser steps cost slack, tighter clips cost accuracy.

Every candidate is run twice on a few labelled frames, rounded and only clipped. Their difference is
the rounding, from which D follows; the rounded logits and D give certified accuracy. First one
factor on all min-max ranges is sought, then each tensor tries a smaller and a larger range, those
that add most rounding first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx

from lipdeploy.calibration.activations import Grid, clipped_activations, quantized_activations
from lipdeploy.calibration.examples import Example
from lipdeploy.core.mask_file import IGNORE
from lipdeploy.core.objectives import correct_radii, kept_share
from lipdeploy.core.radius import margin_from_logits, radius_from_margin
from lipdeploy.export.slack import reserved_slack
from lipdeploy.runtime.session import Run, engine_module

Limits = dict[str, float]
Score = Callable[[Mapping[str, float]], float]

FACTORS = (1.0, 0.85, 0.7, 0.6, 0.5, 0.4, 0.3)
STEPS = (0.75, 1.3)


@dataclass(frozen=True)
class RangeTrial:
    """Certified accuracy of a quantized network as a function of its ranges.

    Attributes:
        trunk: with INT8 kernels.
        grid: the integers of activations.
        lipschitz: L of the trunk; clips do not change it.
        examples: images and labels.
        eps: budgets; the score is the mean over them.
        engine: the one that is run.
    """

    trunk: onnx.ModelProto
    grid: Grid
    lipschitz: float
    examples: Sequence[Example]
    eps: Sequence[float]
    engine: str = "onnxruntime"

    def score(self, limits: Mapping[str, float]) -> float:
        """Mean CRPA of the examples; certified share where nothing is labelled."""
        rounded, clipped = (
            self._run(build(self.trunk, limits, self.grid))
            for build in (quantized_activations, clipped_activations)
        )
        found = [_logits(rounded, image) for image, _ in self.examples]
        exact = [_logits(clipped, image) for image, _ in self.examples]
        error = np.asarray(found) - np.asarray(exact)
        largest = float((error.max(1) - error.min(1)).max())
        slack = reserved_slack(largest, float(np.sqrt(np.square(error).mean())))
        return float(np.mean([self._share(i, logits, slack) for i, logits in enumerate(found)]))

    def _run(self, trunk: onnx.ModelProto) -> Run:
        return engine_module(self.engine).open_graph(bytes(trunk.SerializeToString()), 0)

    def _share(self, index: int, logits: np.typing.NDArray[np.float64], slack: float) -> float:
        truth = self.examples[index][1]
        radius = radius_from_margin(margin_from_logits(logits), self.lipschitz, slack)
        known = truth != IGNORE
        if known.any():
            radius = correct_radii(radius, logits.argmax(0), truth)[known]
        return float(kept_share(radius.ravel(), np.asarray(self.eps, np.float64)).mean())


def _logits(run: Run, image: np.typing.NDArray[np.uint8]) -> np.typing.NDArray[np.float64]:
    return np.asarray(run(["logits"], {"image": image[None]})[0][0], np.float64)


def certified_limits(score: Score, maxima: Mapping[str, float]) -> Limits:
    """The best ranges found, starting from the largest values seen.

    Args:
        score: of ranges, larger is better.
        maxima: largest value seen of each tensor; no range is larger.
    """
    scaled = [{name: top * factor for name, top in maxima.items()} for factor in FACTORS]
    scores = [score(limits) for limits in scaled]
    best, highest = scaled[int(np.argmax(scores))], max(scores)
    for name in sorted(best, key=lambda name: -best[name]):
        for step in STEPS:
            tried = best | {name: min(best[name] * step, maxima[name])}
            found = score(tried) if tried != best else highest
            if found > highest:
                best, highest = tried, found
    return best
