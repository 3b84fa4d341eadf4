"""Running means, and what was certified at each budget."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from lipdeploy.runtime.result import Result

_BUDGETS = 32  # kept: a slider that is dragged for days must not fill the memory


class Mean:
    """A running mean; None is not counted."""

    def __init__(self) -> None:
        self.total = 0.0
        self.count = 0

    def add(self, value: float | None) -> None:
        """Count a value."""
        if value is not None:
            self.total += value
            self.count += 1

    @property
    def mean(self) -> float | None:
        """The mean of what was counted, None of nothing."""
        return self.total / self.count if self.count else None


@dataclass(frozen=True)
class BudgetShares:
    """What was certified of the frames that were judged at one budget.

    Attributes:
        eps: the budget.
        frames: frames judged at it, withheld ones included.
        eps_source: the same at the captured frames; None where any of them has none.
        certified_share: mean over the frames of which something is claimed, None without any.
        pixelwise_share: likewise.
    """

    eps: float
    frames: int
    eps_source: float | None
    certified_share: float | None
    pixelwise_share: float | None


@dataclass
class _Sum:
    frames: int = 0
    eps_source: float | None = None
    certified: Mean = field(default_factory=Mean)
    pixelwise: Mean = field(default_factory=Mean)


class SharesByBudget:
    """Keeps the figures of the last 32 budgets apart: a mean over several would mean nothing."""

    def __init__(self) -> None:
        self._sums: OrderedDict[float, _Sum] = OrderedDict()
        self.changes = 0
        self._last: float | None = None

    def add(self, result: Result) -> None:
        """Count a frame at the budget that it was judged with."""
        eps = result.eps
        self.changes += self._last is not None and eps != self._last
        self._last = eps
        known = self._sums.get(eps)
        one = known or self._sums.setdefault(eps, _Sum(eps_source=result.eps_source))
        one.frames += 1
        if result.eps_source is None:
            one.eps_source = None
        one.certified.add(result.certified_share)
        one.pixelwise.add(result.pixelwise_share)
        self._sums.move_to_end(eps)
        if len(self._sums) > _BUDGETS:
            self._sums.popitem(last=False)

    def of(self, eps: float) -> BudgetShares:
        """The figures at one budget."""
        one = self._sums.get(eps, _Sum())
        shares = one.certified.mean, one.pixelwise.mean
        return BudgetShares(eps, one.frames, one.eps_source, *shares)

    @property
    def newest(self) -> BudgetShares | None:
        """The figures at the budget that was used last; None before the first frame."""
        return None if self._last is None else self.of(self._last)

    def all(self) -> tuple[BudgetShares, ...]:
        """Those that are kept, the one used last at the end."""
        return tuple(self.of(eps) for eps in self._sums)
