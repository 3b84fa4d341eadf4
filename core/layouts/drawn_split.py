"""A validation split where the authors give none: the same on every machine and every run."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable


def drawn(names: Iterable[str], share: float) -> frozenset[str]:
    """The share of the names, rounded to a whole number, whose SHA-256 is smallest.

    The draw depends on the names alone: not on their order, the machine or a random generator.
    From two names on, at least one is drawn and at least one is left.

    Example:
        >>> sorted(drawn(["a", "b", "c", "d"], 0.5))
        ['c', 'd']
    """
    ranked = sorted(set(names), key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    count = int(share * len(ranked) + 0.5)
    return frozenset(ranked[: max(1, min(count, len(ranked) - 1))] if len(ranked) > 1 else ())
