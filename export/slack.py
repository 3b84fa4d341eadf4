"""D of a file from what was measured on each engine, with the evidence that the file keeps.

One rule for every file, whoever measures: D = max(2 largest, 8 sqrt(2) sigma). The contract asks
for the larger of the largest error and 8 sqrt(2) sigma; the factor 2 is room for frames that were
not tried. It stands on the largest error alone: a maximum over what was seen, which the next
attack may exceed. Sigma is a mean over all pixels of all frames, which no single frame moves, and
the 8 in front of it is room enough already.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lipdeploy.core.manifest import Level, Numerics
from lipdeploy.export.engine_parity import EngineMeter
from lipdeploy.export.verifier.parity import STATISTICAL_FRAMES, statistical_slack

SLACK_RESERVE = 2.0
RULE = f"max({SLACK_RESERVE:g} largest_error, 8 sqrt(2) sigma)"


def reserved_slack(largest: float, sigma: float) -> float:
    """D for level `statistical`, with room for attacks that were not tried."""
    return statistical_slack(SLACK_RESERVE * largest, sigma)


def engine_slacks(meters: Mapping[str, EngineMeter]) -> dict[str, float]:
    """What D would be on each engine alone, by engine string."""
    found = {name: meter.parity for name, meter in meters.items()}
    return {name: reserved_slack(each.largest, each.sigma) for name, each in found.items()}


def measured_numerics(precision: str, meters: Mapping[str, EngineMeter]) -> Numerics:
    """Numerics that cover every engine that was measured.

    Args:
        precision: as in the contract.
        meters: by engine string, at least one.
    """
    slacks = engine_slacks(meters)
    worst = max(slacks, key=lambda name: slacks[name])
    level: Level = "statistical" if all(map(_is_enough, meters.values())) else "none"
    figures = {name: measured_figures(meter) for name, meter in meters.items()}
    evidence = {"engine": worst, **figures[worst], "rule": RULE, "engines": figures}
    return Numerics(precision, slacks[worst], level, evidence)


def measured_figures(meter: EngineMeter) -> dict[str, Any]:
    """What the evidence keeps of one engine."""
    parity = meter.parity
    return {
        "frames": parity.frames,
        "attacked_frames": parity.attacked,
        "rounding_attacked_frames": meter.attacked_rounding,
        "largest_error": parity.largest,
        "sigma": parity.sigma,
    }


def _is_enough(meter: EngineMeter) -> bool:
    parity = meter.parity
    attacked = parity.attacked > 0 and meter.attacked_rounding > 0
    return parity.frames >= STATISTICAL_FRAMES and attacked
