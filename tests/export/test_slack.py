"""D: the rule, the level, and which engine it rests on."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest

from lipdeploy.export.engine_parity import EngineMeter, measure_engines
from lipdeploy.export.slack import measured_numerics, reserved_slack

EXACT = np.zeros((2, 4, 4))
FRAME = np.zeros((4, 4, 3), np.uint8)


def meters(
    frames: int, attacked: int, rounding_steps: int = 3, **errors: float
) -> dict[str, EngineMeter]:
    def engine(error: float) -> npt.NDArray[np.float64]:
        found = np.zeros((2, 4, 4))
        found[0, 0, 0] = error
        return found

    engines = {name: (lambda _, e=error: engine(e)) for name, error in errors.items()}
    pairs = [(FRAME, i < attacked) for i in range(frames)]
    return measure_engines(engines, lambda _: EXACT, pairs, rounding_steps)


def test_the_rule() -> None:
    assert reserved_slack(1.0, 0.0) == 2.0
    assert reserved_slack(1.0, 1.0) == pytest.approx(8 * math.sqrt(2))


def test_slack_covers_the_worst_engine() -> None:
    found = measured_numerics("int8", meters(1000, 125, good=1e-5, bad=3e-3))
    sigma = 3e-3 / math.sqrt(32)
    assert found.level == "statistical"
    assert found.evidence["engine"] == "bad"
    assert set(found.evidence["engines"]) == {"good", "bad"}
    assert found.slack == pytest.approx(max(2 * 3e-3, 8 * math.sqrt(2) * sigma))
    assert found.evidence["rounding_attacked_frames"] == 3


@pytest.mark.parametrize("wrong", [(999, 125, 3), (1000, 0, 3), (1000, 125, 0)])
def test_too_little_evidence_is_level_none(wrong: tuple[int, int, int]) -> None:
    assert measured_numerics("int8", meters(*wrong, any=1e-3)).level == "none"


def test_a_logit_that_is_no_number_has_infinite_slack() -> None:
    assert measured_numerics("int8", meters(1000, 125, broken=math.nan)).slack == math.inf
