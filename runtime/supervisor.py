"""What a supervisor such as systemd is told: ready, alive, what goes on, stopping.

The protocol is sd_notify(3): lines sent as datagrams to the socket `$NOTIFY_SOCKET`. Without it
nothing is sent. A supervisor that does not listen never holds the stream up.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable, Mapping

_STATUS_S = 2.0  # between two status lines
_PATIENCE_S = 0.05  # for a supervisor whose queue is full


class Supervisor:
    """Tells a supervisor how the stream is.

    Args:
        address: path of a datagram socket, or `@` and an abstract name; empty for nobody.
        watchdog_s: the supervisor restarts who is silent for longer; None where it does not watch.
    """

    def __init__(self, address: str = "", watchdog_s: float | None = None) -> None:
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._pulse_s = None if watchdog_s is None else watchdog_s / 2
        self._socket: socket.socket | None = None
        if address:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            self._socket.settimeout(_PATIENCE_S)
        self._ready = self._ending = False
        self._pulsed_at_s = self._told_at_s = float("-inf")

    def ready(self) -> None:
        """The stream runs: a result was shown. Said once, but until it is heard."""
        if not self._ready:
            self._ready = self._send("READY=1")

    def beat(self, now_s: float, flowing: bool, status: Callable[[], str]) -> None:
        """Call often: sends the pulse where it is due and frames flow, and a line of status.

        Args:
            now_s: `time.monotonic()`.
            flowing: whether frames flow, or the source is known to be reconnecting.
            status: makes the line.
        """
        if self._socket is None or not self._ready:
            return
        if flowing and self._pulse_s is not None and now_s - self._pulsed_at_s >= self._pulse_s / 2:
            self._pulsed_at_s = now_s
            self._send("WATCHDOG=1")
        if now_s - self._told_at_s >= _STATUS_S:
            self._told_at_s = now_s
            self._send("STATUS=" + " ".join(status().split()))

    def stopping(self) -> None:
        """The stream ends."""
        if not self._ending:
            self._ending = True
            self._send("STOPPING=1")

    def close(self) -> None:
        """Release the socket."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, text: str) -> bool:
        """Whether somebody got it; false where the queue is full or nobody listens."""
        with contextlib.suppress(OSError):
            if self._socket is not None:
                return self._socket.sendto(text.encode(), self._address) > 0
        return False


def supervisor_of(environment: Mapping[str, str] = os.environ) -> Supervisor:
    """The supervisor that started this process, as systemd says it in the environment."""
    address = environment.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return Supervisor()
    return Supervisor(address, _watchdog_s(environment))


def _watchdog_s(environment: Mapping[str, str]) -> float | None:
    if environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    period = environment.get("WATCHDOG_USEC", "")
    return int(period) * 1e-6 if period.isascii() and period.isdigit() and int(period) else None
