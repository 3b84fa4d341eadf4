"""Engines that would make all others pay: one D covers every engine that a file names.

Where an engine rounds far worse than the best one here (OpenVINO's INT8 on CPUs without VNNI does),
its D would take the certificates of the others with it. It is left out of D and of the evidence; on
it the file is of level `none`, as on any engine that was not measured.
"""

from __future__ import annotations

from collections.abc import Mapping

from lipdeploy.export.engine_parity import EngineMeter
from lipdeploy.export.slack import engine_slacks

DEAR = 4.0  # times the least D of the engines measured
NEGLIGIBLE = 1e-4  # of the largest logit: a D below costs no certificate worth an engine


def dear_engines(meters: Mapping[str, EngineMeter]) -> dict[str, float]:
    """The engines to leave out and what D would be with them; never the best one.

    Args:
        meters: by engine string, at least one.
    """
    slacks = engine_slacks(meters)
    largest_logit = min(meter.parity.scale for meter in meters.values())  # infinite where broken
    dear = max(DEAR * min(slacks.values()), NEGLIGIBLE * largest_logit)
    best = min(slacks, key=lambda name: slacks[name])
    return {name: slack for name, slack in slacks.items() if slack > dear and name != best}
