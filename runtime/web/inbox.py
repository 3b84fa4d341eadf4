"""What a visitor sends, within a time and a size."""

from __future__ import annotations

import io
import socket
import time
from typing import Any


class Inbox(io.RawIOBase):
    """Reads a socket until a deadline and a number of bytes: slow or huge requests end early."""

    def __init__(self, connection: socket.socket) -> None:
        super().__init__()
        self._connection = connection
        self._until_s = 0.0
        self._left_bytes = 0

    @property
    def oversized(self) -> bool:
        """Whether the visitor has used up the bytes of this request."""
        return self._left_bytes <= 0

    def expect(self, seconds: float, size_bytes: int) -> None:
        """Allow so many bytes, all of them to arrive within so many seconds."""
        self._until_s = time.monotonic() + seconds
        self._left_bytes = size_bytes

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read what is there; 0 at the end, or where the bytes are used up.

        Raises:
            TimeoutError: past the deadline.
        """
        left_s = self._until_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("the request took too long")
        if self._left_bytes <= 0:
            return 0
        self._connection.settimeout(left_s)
        view = memoryview(buffer)[: self._left_bytes]
        count = self._connection.recv_into(view)
        self._left_bytes -= count
        return count
