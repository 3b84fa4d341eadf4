"""A bounded queue between two threads that can keep everything, or only the newest."""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Closed(Exception):
    """Nothing more will come, or nothing more is taken."""


class Channel(Generic[T]):
    """Hands items from one producer to one consumer in order.

    Args:
        capacity: items waiting at most, 1 or more.
        newest: when full, forget the oldest item (counted in `dropped`) instead of waiting.
    """

    def __init__(self, capacity: int, newest: bool = False) -> None:
        self._items: deque[T] = deque()
        self._capacity = capacity
        self._newest = newest
        self._closed = False
        self._changed = threading.Condition()
        self.dropped = 0

    def put(self, item: T, timeout_s: float | None = None) -> bool:
        """Add an item, waiting for room unless only the newest is kept.

        Returns:
            Whether it was added; false where `timeout_s` passed without room.

        Raises:
            Closed: the channel was closed, before or while waiting; the item is not added.
        """
        with self._changed:
            room = self._changed.wait_for(self._has_room, timeout_s)
            if self._closed:
                raise Closed
            if not room:
                return False
            if len(self._items) >= self._capacity:
                self._items.popleft()
                self.dropped += 1
            self._items.append(item)
            self._changed.notify_all()
            return True

    def get(self, timeout_s: float | None = None) -> T | None:
        """Take the oldest item; None when `timeout_s` passed without one.

        Raises:
            Closed: the channel is closed and empty.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._items or self._closed, timeout_s)
            if self._items:
                item = self._items.popleft()
                self._changed.notify_all()
                return item
            if self._closed:
                raise Closed
            return None

    def close(self) -> None:
        """End the channel; what waits in it can still be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def discard(self) -> None:
        """End the channel and forget what waits in it, counted in `dropped`."""
        with self._changed:
            self._closed = True
            self.dropped += len(self._items)
            self._items.clear()
            self._changed.notify_all()

    def _has_room(self) -> bool:
        return self._newest or self._closed or len(self._items) < self._capacity
