"""Printed figures that are never better than the number: a bound must not be rounded up."""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal


def at_least(value: float, digits: int = 4) -> str:
    """A lower bound, rounded down.

    >>> at_least(1 - 1 / 65536)
    '0.9999'
    """
    return _rounded(value, digits, ROUND_FLOOR)


def at_most(value: float, digits: int = 4) -> str:
    """An upper bound, rounded up.

    >>> at_most(1e-5)
    '0.0001'
    """
    return _rounded(value, digits, ROUND_CEILING)


def percent_at_least(share: float, digits: int = 1) -> str:
    """A share that is a lower bound, in percent, rounded down.

    >>> percent_at_least(4095 / 4096)
    '99.9'
    """
    return str((Decimal(share) * 100).quantize(Decimal(1).scaleb(-digits), ROUND_FLOOR))


def _rounded(value: float, digits: int, direction: str) -> str:
    return str(Decimal(value).quantize(Decimal(1).scaleb(-digits), direction))
