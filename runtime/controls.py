"""What a person may change while a stream runs."""

from __future__ import annotations

import threading

from lipdeploy.runtime.session import checked_eps


class Controls:
    """The settings in force, shared by the stages (read once a frame) and the live page.

    Raises:
        InputError: a budget out of range.
    """

    def __init__(self, eps: float) -> None:
        self._lock = threading.Lock()
        self._eps = checked_eps(eps)

    @property
    def eps(self) -> float:
        """Budget in l2 at the network's input, images in [0,1]."""
        with self._lock:
            return self._eps

    def set_eps(self, value: float) -> None:
        """Change the budget from the next frame on.

        Raises:
            InputError: it is negative or not finite.
        """
        checked = checked_eps(value)
        with self._lock:
            self._eps = checked
