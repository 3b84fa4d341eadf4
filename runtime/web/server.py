"""A small HTTP server that no visitor can stall: bounded connections, each with time limits.

The standard library's server, because a device installs nothing for it: a thread a connection, at
most 64 of them. Pictures and events are sent newest first and never queued.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import sys
import threading
from collections import Counter
from http.server import ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any, cast

from lipdeploy.core.errors import InputError
from lipdeploy.runtime.web.address import PageAddress, is_loopback
from lipdeploy.runtime.web.handler import PageHandler
from lipdeploy.runtime.web.site import Site

CONNECTIONS = 64
_PER_VISITOR = 24  # of one other machine, so that it cannot take all
_SEND_BUFFER_BYTES = 262_144  # what lies there is old by the time it arrives
_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 2\r\nConnection: close\r\n"
    b"Content-Length: 21\r\n\r\ntoo many connections\n"
)
_CLOSE_S = 2.0

_log = logging.getLogger(__name__)


class PageServer(ThreadingHTTPServer):
    """Listens at once and answers from `start` on.

    Raises:
        InputError: the address cannot be listened on.
    """

    daemon_threads = True
    block_on_close = False
    request_queue_size = CONNECTIONS
    site: Site  # given before `start`: its guard depends on the port

    def __init__(self, address: PageAddress) -> None:
        self._open: dict[socket.socket, str] = {}
        self._changed = threading.Condition()
        self._thread = threading.Thread(
            target=self.serve_forever, kwargs={"poll_interval": 0.1}, name="page", daemon=True
        )
        try:
            found = socket.getaddrinfo(
                address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            self.address_family = found[0]
            super().__init__(cast("tuple[str, int]", found[4]), PageHandler)
        except (OSError, OverflowError) as error:
            why = getattr(error, "strerror", None) or str(error)
            raise InputError(
                f"sink {address.url(address.port)} cannot be served ({why}); name another port"
            ) from error

    @property
    def port(self) -> int:
        """That is listened on."""
        return int(self.server_address[1])

    @property
    def connections(self) -> int:
        """That are open now."""
        with self._changed:
            return len(self._open)

    def start(self, site: Site) -> None:
        """Begin to answer."""
        self.site = site
        self._thread.start()

    def close(self) -> None:
        """Stop listening, let visitors finish for two seconds, then hang up."""
        if self._thread.ident is not None:
            self.shutdown()
            self._thread.join(_CLOSE_S)
        self.server_close()
        with self._changed:
            self._changed.wait_for(lambda: not self._open, _CLOSE_S / 2)
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            self._changed.wait_for(lambda: not self._open, _CLOSE_S / 2)

    def server_bind(self) -> None:
        """Bind without asking the network for this machine's name."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.port

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread of its own, or say at once that there are too many."""
        visitor = str(client_address[0])
        with self._changed:
            room = self._has_room(visitor)
            if room:
                self._open[request] = visitor
        if room:
            super().process_request(request, client_address)
            return
        with contextlib.suppress(OSError):
            request.setblocking(False)
            request.send(_FULL)
        self.shutdown_request(request)

    def _has_room(self, visitor: str) -> bool:
        if len(self._open) >= CONNECTIONS:
            return False
        return is_loopback(visitor) or Counter(self._open.values())[visitor] < _PER_VISITOR

    def shutdown_request(self, request: Any) -> None:
        """Hang up and make room."""
        super().shutdown_request(request)
        with self._changed:
            self._open.pop(request, None)
            self._changed.notify_all()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A visitor who went away is no error; anything else goes to the log."""
        error = sys.exc_info()[1]
        if not isinstance(error, (ConnectionError, TimeoutError)):
            _log.error("the live page could not answer a request", exc_info=error)
