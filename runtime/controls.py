"""What can be changed while a stream runs."""

from __future__ import annotations

import threading

from lipdeploy.runtime.session import checked_eps


class Controls:
    """Settings that the stages read once a frame and a page may change.

    Raises:
        InputError: eps is negative or not finite.
    """

    def __init__(self, eps: float) -> None:
        self._lock = threading.Lock()
        self._eps = checked_eps(eps)

    @property
    def eps(self) -> float:
        """Budget in l2 at the network's input."""
        with self._lock:
            return self._eps

    def set_eps(self, value: float) -> None:
        """Change the budget from the next frame on.

        Raises:
            InputError: it is negative or not finite.
        """
        eps = checked_eps(value)
        with self._lock:
            self._eps = eps
