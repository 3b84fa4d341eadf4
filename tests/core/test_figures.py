"""Printed bounds stay on the safe side."""

from hypothesis import given
from hypothesis import strategies as st

from lipdeploy.core.figures import at_least, at_most, percent_at_least


@given(st.floats(0, 1e6), st.integers(0, 6))
def test_never_better_than_the_number(value: float, digits: int) -> None:
    assert float(at_least(value, digits)) <= value <= float(at_most(value, digits))
    assert float(at_most(value, digits)) - float(at_least(value, digits)) <= 1.01 * 10**-digits


def test_almost_everything_is_not_everything() -> None:
    assert percent_at_least(4095 / 4096) == "99.9"
    assert percent_at_least(1.0, 0) == "100"
    assert at_most(1e-5) == "0.0001"
