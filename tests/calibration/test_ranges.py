"""Ranges against brute force."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pytest

from lipdeploy.calibration.certified_ranges import FACTORS, certified_limits
from lipdeploy.calibration.histogram import BINS, Histogram, histogram_counts, histograms
from lipdeploy.calibration.ranges import entropy_limit, minmax_limit, percentile_limit
from tests.calibration import small_network as small


def test_percentile_is_numpys_within_a_bin() -> None:
    values = np.abs(np.random.default_rng(0).normal(size=20_000))
    limit = float(values.max())
    found = Histogram(limit, histogram_counts(values, limit))
    assert found.counts.sum() == values.size
    for percentile in (50.0, 90.0, 99.0, 99.99, 100.0):
        exact = float(np.quantile(values, percentile / 100, method="inverted_cdf"))
        assert exact <= percentile_limit(found, percentile) * (1 + 1e-12)
        assert percentile_limit(found, percentile) <= exact + limit / BINS * (1 + 1e-9)


def direct_divergence(counts: list[int], kept: int, levels: int) -> float:
    """Migacz's procedure with loops alone."""
    p = [float(c) for c in counts[:kept]]
    p[-1] += sum(counts[kept:])
    q = [0.0] * kept
    for level in range(levels):
        members = [i for i in range(kept) if i * levels // kept == level]
        filled = [i for i in members if counts[i] > 0]
        for i in filled:
            q[i] = sum(counts[j] for j in members) / len(filled)
    total_p, total_q, found = sum(p), sum(q), 0.0
    for a, b in zip(p, q, strict=True):
        if a > 0 and b == 0:
            return math.inf
        if a > 0:
            found += a / total_p * math.log((a / total_p) / (b / total_q))
    return found


@pytest.mark.parametrize("seed", range(6))
def test_entropy_finds_the_least_divergence(seed: int) -> None:
    rng = np.random.default_rng(seed)
    counts = rng.poisson(200 * np.exp(-np.arange(24) / 4.0))
    counts[-1] = 1 + seed  # an outlier
    found = Histogram(6.0, counts.astype(np.int64))
    losses = {kept: direct_divergence(counts.tolist(), kept, 5) for kept in range(5, 25)}
    best = min(losses, key=lambda kept: losses[kept])
    assert entropy_limit(found, levels=5) == pytest.approx(6.0 * best / 24)


def test_histograms_are_those_of_the_tensors() -> None:
    values = small.arrays()
    frames = [small.frame(seed) for seed in range(3)]
    found = histograms(small.trunk(values), ["b", "d"], frames)["b"]
    exact = []
    for image in frames:
        x = image.transpose(2, 0, 1).astype(np.float64) - 127.5
        a = small.convolved(
            x,
            values["entry.weight"].astype(np.float64),
            values["entry.bias"].astype(np.float64),
            stride=2,
            pad=1,
        )
        exact.append(np.concatenate([np.maximum(a[:4], a[4:]), np.minimum(a[:4], a[4:])]))
    assert minmax_limit(found) == pytest.approx(np.abs(exact).max(), rel=1e-5)
    assert found.counts.sum() == np.size(exact)
    half = int((np.abs(exact) < found.limit / 2).sum())
    assert abs(int(found.counts[: BINS // 2].sum()) - half) <= 2


def test_certified_finds_the_best_ranges_of_a_known_score() -> None:
    """A score with its peak at known ranges, one of which no common factor reaches."""
    maxima = {"a": 1.0, "b": 2.0}
    peak = {"a": 1.0 * FACTORS[3], "b": 2.0 * FACTORS[3] * 0.75}

    def score(limits: Mapping[str, float]) -> float:
        distance = {n: (math.log(limits[n]) - math.log(peak[n])) ** 2 for n in maxima}
        return -(10 * distance["a"] + distance["b"])

    found = certified_limits(score, maxima)
    assert score(found) > max(score({n: t * f for n, t in maxima.items()}) for f in FACTORS)
    assert found == pytest.approx(peak)
    assert all(found[name] <= top for name, top in maxima.items())
