"""The live page's server with raw sockets: no visitor can stall it, grow it or talk it round."""

from __future__ import annotations

import contextlib
import http.client
import json
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from lipdeploy.core.errors import InputError
from lipdeploy.runtime.web import PageSink, open_page
from lipdeploy.runtime.web import exchange as exchange_module
from lipdeploy.runtime.web import pictures as pictures_module
from lipdeploy.runtime.web.server import CONNECTIONS
from tests.runtime.page_feed import Context, Feeder, make_result

SECRET = "correct-horse"


@pytest.fixture
def context() -> Context:
    return Context()


@pytest.fixture
def sink(context: Context) -> Iterator[PageSink]:
    opened = open_page("http://127.0.0.1:0", context)
    yield opened
    opened.close()


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


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "text/html"),
        ("/static/page.js", "text/javascript"),
        ("/static/page.css", "text/css"),
        ("/static/icon.svg", "image/svg+xml"),
        ("/healthz", "text/plain"),
        ("/api/status", "application/json"),
        ("/api/history", "application/json"),
    ],
)
def test_pages_and_their_security_headers(sink: PageSink, path: str, kind: str) -> None:
    status, fields, body = ask(sink, path)
    assert (status, fields["Content-Type"].partition(";")[0]) == (200, kind)
    assert body
    assert "default-src 'self'" in fields["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in fields["Content-Security-Policy"]
    assert fields["X-Content-Type-Options"] == "nosniff"
    assert fields["Cache-Control"] == "no-store"
    assert "Python" not in fields["Server"]
    status, head, nothing = ask(sink, path, "HEAD")
    assert (status, nothing) == (200, b"")
    if not path.startswith("/api"):
        assert head["Content-Length"] == fields["Content-Length"]


@pytest.mark.parametrize(
    "path", ["/none", "/static/", "/static/../server.py", "/static/%2e%2e/server.py", "/static/x"]
)
def test_nothing_else_is_served(sink: PageSink, path: str) -> None:
    assert ask(sink, path)[0] == 404


def test_the_picture_is_the_newest_and_each_is_sent_once(sink: PageSink) -> None:
    assert ask(sink, "/frame.jpg")[0] == 204
    for index in range(5):
        sink.write(make_result(index))
    status, fields, jpeg = ask(sink, "/frame.jpg")
    assert (status, fields["X-State"]) == (200, "ok")
    shown = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert shown is not None
    overlay = make_result(4).overlay
    assert overlay is not None
    assert np.abs(shown[..., ::-1].astype(int) - overlay).mean() < 4
    sink.write(make_result(5, reason="frozen"))
    fields = ask(sink, f"/frame.jpg?after={fields['X-Picture']}")[1]
    assert (fields["X-State"], fields["X-Reason"]) == ("withheld", "frozen")


def test_an_old_picture_comes_grey(sink: PageSink, monkeypatch: pytest.MonkeyPatch) -> None:
    sink.write(make_result())
    first = ask(sink, "/frame.jpg")[1]["X-Picture"]
    monkeypatch.setattr(pictures_module, "STALE_S", 0.0)
    _, fields, jpeg = ask(sink, f"/frame.jpg?after={first}")
    assert fields["X-Picture"] == f"{first}-old"
    shown = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert shown is not None
    assert np.ptp(shown.astype(int), axis=2).max() <= 4  # JPEG's rounding


def test_a_picture_is_encoded_once_and_only_for_someone(
    sink: PageSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []
    encode = pictures_module.encoded

    def counted(overlay: npt.NDArray[np.uint8], old: bool = False) -> bytes:
        made.append(1)
        return encode(overlay, old)

    monkeypatch.setattr(pictures_module, "encoded", counted)
    monkeypatch.setattr(pictures_module, "STALE_S", 1e9)
    for index in range(20):
        sink.write(make_result(index))
    assert not made
    visitors = [threading.Thread(target=ask, args=(sink, "/frame.jpg")) for _ in range(8)]
    for visitor in visitors:
        visitor.start()
    for visitor in visitors:
        visitor.join()
    assert len(made) == 1


def test_eps(sink: PageSink, context: Context) -> None:
    assert context.controls is not None
    assert set_eps(sink, '{"eps": 0.5}') == 200
    assert context.controls.eps == 0.5
    own = f"http://127.0.0.1:{port_of(sink)}"
    assert set_eps(sink, '{"eps": 0.75}', Origin=own) == 200
    assert set_eps(sink, '{"eps": 9}', Origin="http://evil.example") == 403
    assert set_eps(sink, '{"eps": 9}', Origin="null") == 403
    assert set_eps(sink, '{"eps": 9}', Sec_Fetch_Site="cross-site") == 403
    assert set_eps(sink, '{"eps": 9}', Content_Type="text/plain") == 415
    assert set_eps(sink, '{"eps": 9}' + " " * 2000) == 413
    wrong = ["", "9", "[]", "{}", '{"eps": "9"}', '{"eps": true}', '{"eps": -1}', '{"eps": NaN}']
    wrong += ['{"eps": 1e999}', '{"eps": ' + "9" * 500 + "}", "[" * 500]
    for body in wrong:
        assert set_eps(sink, body) == 422, body
    assert context.controls.eps == 0.75


def test_eps_fixed() -> None:
    opened = open_page("http://127.0.0.1:0", Context(controls=None))
    assert set_eps(opened, '{"eps": 0.5}') == 409
    opened.close()


def test_hosts_and_embeddings(sink: PageSink) -> None:
    assert ask(sink, "/", Host="evil.example")[0] == 421
    assert ask(sink, "/healthz", Host="evil.example")[0] == 421
    assert ask(sink, "/", Host="localhost:1")[0] == 200
    assert ask(sink, "/frame.jpg", Sec_Fetch_Site="cross-site")[0] == 403
    assert raw(sink, b"GET / HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 421")


def test_token(capfd: pytest.CaptureFixture[str]) -> None:
    opened = open_page(f"http://127.0.0.1:0?token={SECRET}", Context())
    assert SECRET not in opened.describe()
    for path in ("/api/status", "/api/history", "/frame.jpg", "/events", "/stream.mjpg", "/none"):
        assert ask(opened, path)[0] == 401, path
    assert ask(opened, "/api/status?token=wrong-wrong")[0] == 401
    assert set_eps(opened, '{"eps": 0.5}') == 401
    assert ask(opened, "/healthz")[0] == 200
    status, fields, body = ask(opened, "/")
    assert (status, b"<form" in body, "Set-Cookie" in fields) == (401, True, False)
    status, fields, _ = ask(opened, f"/?token={SECRET}")
    cookie = fields["Set-Cookie"].partition(";")[0]
    assert status == 200
    assert ask(opened, "/api/status", Cookie=cookie)[0] == 200
    assert set_eps(opened, '{"eps": 0.5}', Cookie=cookie) == 200
    form = "application/x-www-form-urlencoded"
    login = ask(opened, "/login", "POST", f"token={SECRET}", Content_Type=form)
    assert (login[0], login[1]["Location"]) == (303, "/")
    assert login[1]["Set-Cookie"].startswith(cookie)
    refused = ask(opened, "/login", "POST", "token=wrong", Content_Type=form)
    assert "Set-Cookie" not in refused[1]
    opened.close()
    assert capfd.readouterr() == ("", "")  # no log holds the token


def test_beyond_loopback_a_token_is_made_and_announced_once(
    capfd: pytest.CaptureFixture[str],
) -> None:
    opened = open_page("http://0.0.0.0:0", Context())
    said = capfd.readouterr().err
    token = said.strip().rpartition("?token=")[2]
    assert said.count("\n") == 1
    assert len(token) >= 32
    assert ask(opened, "/api/status")[0] == 401
    assert ask(opened, f"/api/status?token={token}")[0] == 200
    assert token not in opened.describe()
    opened.close()
    assert capfd.readouterr() == ("", "")


def test_a_port_that_is_taken(sink: PageSink) -> None:
    with pytest.raises(InputError, match=r"cannot be served \(.*in use\); name another port"):
        open_page(sink.url, Context())


def test_events(sink: PageSink, context: Context) -> None:
    with Feeder(sink, context), socket.create_connection(("127.0.0.1", port_of(sink))) as visitor:
        visitor.settimeout(10)
        visitor.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        lines = visitor.makefile("rb")
        events = (json.loads(line[6:]) for line in lines if line.startswith(b"data: {"))
        two = next(event for event in events if event["state"] == "ok"), next(events)
        assert two[0]["shown"] < two[1]["shown"]
        assert two[0]["level"] == "statistical"
        sink.close()
        assert b"event: end" in lines.read()


def test_motion_jpeg(sink: PageSink, context: Context) -> None:
    with Feeder(sink, context), socket.create_connection(("127.0.0.1", port_of(sink))) as visitor:
        visitor.settimeout(10)
        visitor.sendall(b"GET /stream.mjpg HTTP/1.1\r\nHost: localhost\r\n\r\n")
        stream = visitor.makefile("rb")
        pictures: list[bytes] = []
        while len(pictures) < 3:
            line = stream.readline()
            if line.lower().startswith(b"content-length:") and stream.readline() == b"\r\n":
                pictures.append(stream.read(int(line.split(b":")[1])))
        assert len(set(pictures)) == 3
        assert all(picture.startswith(b"\xff\xd8") for picture in pictures)


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


def test_a_stream_that_cannot_answer_is_logged_and_does_not_end_the_page(
    context: Context, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def broken() -> None:
        asked.append(1)
        raise RuntimeError("not ready")

    monkeypatch.setattr(context, "status", broken)
    with caplog.at_level(logging.ERROR):
        opened = open_page("http://127.0.0.1:0", context)
        assert eventually(lambda: len(asked) > 2)
        assert caplog.text.count("did not say") == 1
        assert ask(opened, "/healthz")[0] == 200
    opened.close()
