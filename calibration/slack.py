"""D of a file from what was measured on each engine, with the evidence that the file keeps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lipdeploy.core.manifest import Level, Numerics
from lipdeploy.export.engine_parity import EngineMeter
from lipdeploy.export.verifier.parity import STATISTICAL_FRAMES, Parity, statistical_slack

# `verify` attacks the rounding anew and may find more than was found here; sigma, a mean over all
# pixels of all frames, does not move, and 8 sqrt(2) of it stands as it is.
SLACK_RESERVE = 2.0
RULE = f"max({SLACK_RESERVE:g} largest_error, 8 sqrt(2) sigma)"


def reserved_slack(largest: float, sigma: float) -> float:
    """D for level `statistical`, with room for attacks that were not tried."""
    return statistical_slack(SLACK_RESERVE * largest, sigma)


def measured_numerics(precision: str, meters: Mapping[str, EngineMeter]) -> Numerics:
    """Numerics that cover every engine that was measured.

    Args:
        precision: as in the contract.
        meters: by engine string, at least one.
    """
    found = {name: meter.parity for name, meter in meters.items()}
    slacks = {name: reserved_slack(each.largest, each.sigma) for name, each in found.items()}
    worst = max(slacks, key=lambda name: slacks[name])
    enough = all(
        each.frames >= STATISTICAL_FRAMES and each.attacked > 0 and meters[name].attacked_rounding
        for name, each in found.items()
    )
    level: Level = "statistical" if enough else "none"
    figures = {name: figures_of(each, meters[name]) for name, each in found.items()}
    evidence = {"engine": worst, **figures[worst], "rule": RULE, "engines": figures}
    return Numerics(precision, slacks[worst], level, evidence)


def figures_of(parity: Parity, meter: EngineMeter) -> dict[str, Any]:
    """What the evidence keeps of one engine."""
    return {
        "frames": parity.frames,
        "attacked_frames": parity.attacked,
        "rounding_attacked_frames": meter.attacked_rounding,
        "largest_error": parity.largest,
        "sigma": parity.sigma,
    }
