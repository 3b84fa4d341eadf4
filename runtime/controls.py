"""What may be changed while a stream runs."""

from __future__ import annotations

import threading

from lipdeploy.runtime.session import checked_eps


class Controls:
    """The budget, shared by the stages, which read it once a frame, and whoever turns the knob.

    Args:
        eps: budget in l2 at the network's input, images in [0,1].

    Raises:
        InputError: it is negative or not finite.
    """

    def __init__(self, eps: float) -> None:
        self._lock = threading.Lock()
        self._eps = checked_eps(eps)

    @property
    def eps(self) -> float:
        """The budget that the next frame is judged with."""
        with self._lock:
            return self._eps

    def set_eps(self, value: float) -> None:
        """Judge the frames from now on with another budget.

        Raises:
            InputError: it is negative or not finite; the budget stays as it was.
        """
        eps = checked_eps(value)
        with self._lock:
            self._eps = eps
