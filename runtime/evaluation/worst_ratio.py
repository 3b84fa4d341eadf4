"""Stand-in for `lipdeploy.core.class_iou.WorstRatio`, to be removed when that is there."""

from __future__ import annotations

import math

import numpy as np

from lipdeploy.core.class_iou import IouFrontier


class WorstRatio:
    """Exact minimum of sum of hits over sum of unions by Dinkelbach's iteration, in rounds."""

    def __init__(self) -> None:
        self.value = 1.0
        self._above = self._below = 0

    def add(self, frontier: IouFrontier) -> None:
        """One image; every image once a round."""
        best = int(np.argmax(frontier.lost + self.value * frontier.gained))
        self._above += frontier.hits - int(frontier.lost[best])
        self._below += frontier.union + int(frontier.gained[best])

    def finish_round(self) -> bool:
        """Whether the value is settled."""
        above, below = self._above, self._below
        self._above = self._below = 0
        if below == 0:
            self.value = math.nan
            return True
        settled = above / below >= self.value
        if not settled:
            self.value = above / below
        elif not above:
            self.value = 0.0
        return settled
