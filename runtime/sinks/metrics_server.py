"""The HTTP server of the metrics: a bounded number of visitors, none of whom may stay silent."""

from __future__ import annotations

import socket
import threading
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

VISITORS = 16


class MetricsHandler(WSGIRequestHandler):
    """Gives up who sends or takes nothing for five seconds; logs nothing."""

    timeout = 5.0

    def log_message(self, *args: Any) -> None:
        """Nothing."""


class MetricsServer(ThreadingMixIn, WSGIServer):
    """Listens from its construction on; a thread a visitor, at most 16, the others are hung up on.

    Args:
        host: interface to listen on, a name, an IPv4 or an IPv6 address.
        port: 0 for any free one.

    Raises:
        OSError: it cannot be listened on.
    """

    daemon_threads = True
    block_on_close = False
    request_queue_size = VISITORS

    def __init__(self, host: str, port: int) -> None:
        self._room = threading.Semaphore(VISITORS)
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        self.address_family = found[0]
        super().__init__((str(found[4][0]), port), MetricsHandler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread of its own where there is room."""
        if self._room.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer, and make room."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A visitor who goes away is no error of the stream."""
