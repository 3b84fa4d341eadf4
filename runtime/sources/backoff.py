"""How long to wait between tries to connect, and when to give up."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Backoff:
    """Waits that double up to a cap, each moved at random, so that many clients do not collide.

    Attributes:
        tries: connections tried in one outage after the first; None where `for_s` bounds them.
        for_s: no try begins later than so many seconds into the outage; None for no such bound.
        first_s: nominal first wait.
        cap_s: largest nominal wait.
        jitter: each wait is the nominal one times a random factor from 1 - jitter to 1 + jitter.
    """

    tries: int | None = 5
    for_s: float | None = None
    first_s: float = 0.5
    cap_s: float = 5.0
    jitter: float = 0.25

    def waits_s(self, chance: random.Random) -> Iterator[float]:
        """The wait before each further try, without end where only time bounds them."""
        nominal_s, done = self.first_s, 0
        while self.tries is None or done < self.tries:
            yield nominal_s * (1 + self.jitter * (2 * chance.random() - 1))
            nominal_s = min(self.cap_s, 2 * nominal_s)
            done += 1

    def spent(self, down_s: float) -> bool:
        """Whether an outage of so many seconds is too long for one more try."""
        return self.for_s is not None and down_s > self.for_s

    def describe(self, tries: int) -> str:
        """How often was tried, for messages; empty where it was once."""
        return f" in {tries} tries" if tries > 1 else ""


ONCE = Backoff(tries=0)
NETWORK = Backoff()
