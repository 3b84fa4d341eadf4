"""No visitor can stall the live page's server, make it grow or talk it round."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from lipdeploy.runtime.web import PageSink, open_page
from lipdeploy.runtime.web import exchange as exchange_module
from lipdeploy.runtime.web.server import CONNECTIONS
from tests.runtime.page_feed import Context, Feeder, make_result
from tests.runtime.page_visits import ask, eventually, port_of, raw


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 20_000 + b"\r\n\r\n", b"431"),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 200 + b"\r\n", b"431"),
        (b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", b"Too Large"),
        (b"BREW / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"501"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b"Bad request"),
        (
            b"POST /api/eps HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"411",
        ),
        (b"POST /api/eps HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n", b"411"),
        (b"POST /api/eps HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9e9\r\n\r\n", b"411"),
    ],
)
def test_oversized_and_malformed_requests(
    sink: PageSink, request_bytes: bytes, status: bytes
) -> None:
    answer = raw(sink, request_bytes)
    # A connection that is reset because not all was read may lose the answer.
    assert answer == b"" or status in answer[:40]
    assert ask(sink, "/healthz")[0] == 200


def test_a_body_is_never_read_as_the_next_request(sink: PageSink) -> None:
    hidden = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    sent = b"GET /api/status HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(
        hidden
    )
    assert raw(sink, sent + hidden).count(b"HTTP/1.1 200") <= 1


def test_slow_headers_end(sink: PageSink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange_module, "REQUEST_S", 0.3)
    with socket.create_connection(("127.0.0.1", port_of(sink)), timeout=10) as slow:
        slow.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n")
        with contextlib.suppress(ConnectionError):
            for _ in range(100):  # a byte at a time never reaches the end of the headers
                slow.sendall(b"X")
                time.sleep(0.05)
                if sink.connections == 0:
                    break
        assert eventually(lambda: sink.connections == 0)


def test_visitors_who_never_read_harm_nobody(
    sink: PageSink, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange_module, "_SEND_S", 0.5)
    with contextlib.ExitStack() as stack:
        for path in ("/stream.mjpg", "/events") * 4:
            idle = stack.enter_context(socket.socket())
            idle.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            idle.connect(("127.0.0.1", port_of(sink)))
            idle.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert eventually(lambda: sink.connections == 8)
        noise = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)
        before = resident_bytes()
        for index in range(40):
            result = make_result(index)
            result.overlay = noise
            sink.write(result)
            time.sleep(0.02)
            if index % 10 == 0:
                assert ask(sink, "/frame.jpg")[0] == 200
        # The four that were sent pictures are given up; events are small enough to lie in buffers.
        assert eventually(lambda: sink.connections <= 4)
        assert resident_bytes() - before < 32e6


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def test_fifty_visitors_at_once(sink: PageSink, context: Context) -> None:
    found: list[int] = []

    def visit() -> None:
        seen = ""
        for _ in range(3):
            status, fields, _ = ask(sink, f"/frame.jpg?after={seen}")
            seen = fields.get("X-Picture", seen)
            found.append(status)

    with Feeder(sink, context):
        visitors = [threading.Thread(target=visit) for _ in range(50)]
        for visitor in visitors:
            visitor.start()
        for visitor in visitors:
            visitor.join()
    assert len(found) == 150
    assert set(found) <= {200, 204}
    assert found.count(200) > 50


def test_more_connections_than_allowed_are_refused_and_room_comes_back(sink: PageSink) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(CONNECTIONS):
            stack.enter_context(socket.create_connection(("127.0.0.1", port_of(sink))))
        assert eventually(lambda: sink.connections == CONNECTIONS)
        assert raw(sink, b"").startswith(b"HTTP/1.1 503")
        assert sink.connections == CONNECTIONS
    assert eventually(lambda: sink.connections == 0)
    assert ask(sink, "/healthz")[0] == 200


def test_close_leaves_no_thread_and_no_connection(context: Context) -> None:
    before = set(threading.enumerate())
    opened = open_page("http://127.0.0.1:0", context)
    with socket.create_connection(("127.0.0.1", port_of(opened))) as idle:
        idle.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n")
        assert eventually(lambda: opened.connections == 1)
        opened.close()
        opened.close()
    assert eventually(lambda: set(threading.enumerate()) <= before)
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", port_of(opened)))
