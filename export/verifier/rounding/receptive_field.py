"""Which part of every tensor one pixel of the logits depends on: a box, exact along each axis."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Index = npt.NDArray[np.int64]
Map = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Span:
    """Along one axis of a tensor: first and last index for each row (or column) of the logits.

    Empty where last < first.
    """

    first: Index
    last: Index

    def joined(self, other: Span) -> Span:
        """The smallest span that holds both."""
        mine, theirs = self.last >= self.first, other.last >= other.first
        first = np.where(mine & theirs, np.minimum(self.first, other.first), 0)
        last = np.where(mine & theirs, np.maximum(self.last, other.last), -1)
        for own, only in ((self, mine & ~theirs), (other, theirs & ~mine)):
            first, last = np.where(only, own.first, first), np.where(only, own.last, last)
        return Span(first, last)

    def through(self, least: Index, most: Index) -> Span:
        """Indices that elements of this span read, element j those from least[j] to most[j]."""
        found = {}
        for first, last in set(zip(self.first.tolist(), self.last.tolist(), strict=True)):
            low, high = least[first : last + 1], most[first : last + 1]
            reads = high >= low
            ends = (int(low[reads].min()), int(high[reads].max())) if reads.any() else (0, -1)
            found[first, last] = ends
        pairs = [found[p] for p in zip(self.first.tolist(), self.last.tolist(), strict=True)]
        table = np.array(pairs, np.int64).reshape(-1, 2)
        return Span(table[:, 0], table[:, 1])

    @property
    def longest(self) -> int:
        """Most indices that a row reads."""
        return int(np.maximum(self.last - self.first + 1, 0).max())

    def indicator(self, size: int) -> Map:
        """1 where an index belongs to the span. Shape: (rows of the logits, size)."""
        places = np.arange(size)
        inside = (places >= self.first[:, None]) & (places <= self.last[:, None])
        return inside.astype(np.float64)


@dataclass(frozen=True)
class Field:
    """Receptive field of every pixel in one tensor.

    Attributes:
        axes: the tensor's axes along which `rows` and `columns` run; None for the whole tensor.
        rows: by row of the logits.
        columns: by column of the logits.
    """

    axes: tuple[int, int] | None
    rows: Span
    columns: Span

    def joined(self, other: Field) -> Field:
        """The smallest field that holds both."""
        rows, columns = self.rows.joined(other.rows), self.columns.joined(other.columns)
        return Field(self.axes if self.axes == other.axes else None, rows, columns)

    def norms(self, values: Map) -> Map:
        """l2 norm of `values` on the field of every pixel. Shape: (H, W) of the logits.

        Sums of squares without subtraction, so their relative error is that of a plain sum.
        """
        if self.axes is None:
            shape = (len(self.rows.first), len(self.columns.first))
            return np.full(shape, float(np.sqrt(np.square(values).sum())))
        others = tuple(i for i in range(values.ndim) if i not in self.axes)
        plane = np.square(values).sum(others)
        plane = plane if self.axes[0] < self.axes[1] else plane.T
        above, across = self.rows.indicator(len(plane)), self.columns.indicator(plane.shape[1])
        return np.asarray(np.sqrt(above @ plane @ across.T))
