"""What the live page answers: files, the newest picture, status and pictures without end."""

from __future__ import annotations

import json
import logging
import socket
import threading

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from lipdeploy.runtime.web import PageSink, open_page
from lipdeploy.runtime.web import pictures as pictures_module
from tests.runtime.page_feed import Context, Feeder, make_result
from tests.runtime.page_visits import ask, eventually, port_of


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
