"""Visits to a live page over HTTP and over raw sockets."""

from __future__ import annotations

import contextlib
import http.client
import socket
import time
from collections.abc import Callable

from lipdeploy.runtime.web import PageSink


def port_of(sink: PageSink) -> int:
    return int(sink.url.rpartition(":")[2])


def ask(
    sink: PageSink, path: str, method: str = "GET", body: str | None = None, **fields: str
) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port_of(sink), timeout=10)
    named = {name.replace("_", "-"): value for name, value in fields.items()}
    connection.request(method, path, body, named)
    answer = connection.getresponse()
    found = answer.status, dict(answer.getheaders()), answer.read()
    connection.close()
    return found


def raw(sink: PageSink, data: bytes) -> bytes:
    """What is answered until the server hangs up."""
    with socket.create_connection(("127.0.0.1", port_of(sink)), timeout=10) as connection:
        received = b""
        with contextlib.suppress(ConnectionError):  # it may hang up before it has read all
            connection.sendall(data)
            while part := connection.recv(65536):
                received += part
        return received


def eventually(holds: Callable[[], bool]) -> bool:
    for _ in range(400):
        if holds():
            return True
        time.sleep(0.025)
    return False


def set_eps(sink: PageSink, body: str, **fields: str) -> int:
    given = {"Content_Type": "application/json", **fields}
    return ask(sink, "/api/eps", "POST", body, **given)[0]
