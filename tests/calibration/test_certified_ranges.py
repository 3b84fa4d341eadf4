"""What `certified` maximises: brute force, and a network that clips until a class is gone."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from lipdeploy.calibration.activations import INT8
from lipdeploy.calibration.certified_ranges import LOST_AGREEMENT, RangeTrial, balanced_share
from lipdeploy.calibration.histogram import histograms
from lipdeploy.calibration.kernels import int8_weight_trunk, quantized_kernels
from lipdeploy.core.mask_file import IGNORE
from lipdeploy.export.verifier.graph import Graph
from lipdeploy.export.verifier.lipschitz import graph_bound
from tests.calibration import small_network as small

EPS = np.array([0.0, 0.3, 1.0])
TENSORS = ["b", "d", "e"]


def kept(radii: list[float], eps: float) -> int:
    """Pixels left when the cheapest are flipped one by one."""
    spent, left = 0.0, len(radii)
    for radius in sorted(radii):
        spent += radius**2
        if spent > eps**2:
            return left
        left -= 1
    return left


def test_each_class_counts_alike() -> None:
    rng = np.random.default_rng(0)
    labels = [rng.choice([0, 0, 0, 2, IGNORE], (5, 6)) for _ in range(4)]
    labels.append(np.zeros((5, 6), np.int64))  # an image without the rare class
    radii = [rng.uniform(0, 0.4, truth.shape) * rng.integers(0, 2, truth.shape) for truth in labels]
    expected = []
    for class_id in (0, 2):
        own = [r[t == class_id].tolist() for r, t in zip(radii, labels, strict=True)]
        total = sum(map(len, own))
        expected += [sum(kept(r, eps) for r in own) / total for eps in EPS]
    assert balanced_share(radii, labels, EPS) == pytest.approx(float(np.mean(expected)), abs=1e-9)


def trial(labels: list[npt.NDArray[Any]]) -> RangeTrial:
    kernels = quantized_kernels(small.trunk(small.arrays()))
    trunk = int8_weight_trunk(small.trunk(small.arrays()), kernels)
    bound = graph_bound(Graph(trunk)).lipschitz
    frames = [small.frame(seed) for seed in range(len(labels))]
    return RangeTrial(trunk, INT8, bound, list(zip(frames, labels, strict=True)), (0.01,))


def ranges(factor: float) -> dict[str, float]:
    frames = [small.frame(seed) for seed in range(4)]
    found = histograms(small.trunk(small.arrays()), TENSORS, frames)
    return {name: factor * each.limit for name, each in found.items()}


def test_without_labels_the_networks_own_classes_count() -> None:
    shape = (small.SIDE, small.SIDE)
    found = trial([np.full(shape, IGNORE, np.uint8) for _ in range(4)])
    assert found.floor == 1 - LOST_AGREEMENT
    exact = np.stack([small.logits(small.arrays(), small.frame(seed)) for seed in range(4)])
    agreeing = (np.stack(list(found.labels)) == exact.argmax(1)).mean()
    assert agreeing > 0.95  # float32 weights there, INT8 here
    assert found.score(ranges(1.0)) > 0


def test_ranges_that_lose_a_class_are_worth_less_than_any_that_do_not() -> None:
    """All background is certified at once where every activation is clipped to nearly nothing."""
    exact = [small.logits(small.arrays(), small.frame(seed)) for seed in range(4)]
    found = trial([logits.argmax(0).astype(np.uint8) for logits in exact])
    wide, narrow = found.score(ranges(1.0)), found.score(ranges(1e-4))
    assert narrow < 0 <= wide
    clips = {name: (-128 / 127 * top, top) for name, top in ranges(1e-4).items()}
    union = hit = np.zeros(2)
    for seed, logits in enumerate(exact):
        clipped = small.logits(small.arrays(), small.frame(seed), clips).argmax(0)
        truth = logits.argmax(0)
        both = [((clipped == k) & (truth == k)).sum() for k in range(2)]
        either = [((clipped == k) | (truth == k)).sum() for k in range(2)]
        hit, union = hit + both, union + either
    iou = float(np.mean(hit / union))
    assert math.isclose(narrow, iou - found.floor, abs_tol=0.03)  # weights and rounding of INT8
