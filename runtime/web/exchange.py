"""One connection: reading a request within bounds, and writing an answer."""

from __future__ import annotations

import io
from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

from lipdeploy.runtime.web.inbox import Inbox
from lipdeploy.runtime.web.responses import SECURITY

REQUEST_S = 10.0  # for the whole of a request, and between two of one connection
REQUEST_BYTES = 16_384
_BODY_BYTES = 1_024
_SEND_S = 5.0  # for one picture or event
_TEXT = "text/plain; charset=utf-8"


class Exchange(BaseHTTPRequestHandler):
    """Requests and answers of one connection, in a thread of its own; knows no pages."""

    protocol_version = "HTTP/1.1"
    server_version = "lipdeploy"
    sys_version = ""
    disable_nagle_algorithm = True

    def setup(self) -> None:
        """Read through a bounded inbox."""
        super().setup()
        self.rfile.close()
        self._inbox = Inbox(self.connection)
        self.rfile = io.BufferedReader(self._inbox, 4096)

    def handle_one_request(self) -> None:
        """Within bounds of time and size; a visitor who goes away is no error."""
        self._inbox.expect(REQUEST_S, REQUEST_BYTES)
        try:
            super().handle_one_request()
        except (ConnectionError, TimeoutError):
            self.close_connection = True

    def parse_request(self) -> bool:
        """As the base class, and refuses what was cut off at the bound."""
        if not super().parse_request():
            return False
        if self._inbox.oversized:
            self.send_error(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
            return False
        return True

    def target(self) -> tuple[str, dict[str, str]]:
        """Path and fields of the query; both empty where they cannot be read."""
        try:
            parts = urlsplit(self.path)
            fields = parse_qs(parts.query, max_num_fields=8)
        except ValueError:
            return "", {}
        return parts.path, {name: values[-1] for name, values in fields.items()}

    def body(self, kind: str) -> bytes | None:
        """Body of a POST of that media type; None where it was refused, which was then said."""
        length = self.headers.get("Content-Length", "")
        if "Transfer-Encoding" in self.headers or not (length.isascii() and length.isdigit()):
            self.send_error(HTTPStatus.LENGTH_REQUIRED)
        elif len(length) > 6 or int(length) > _BODY_BYTES:
            self.send_error(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        elif self.headers.get_content_type() != kind:
            self.send_error(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"expected {kind}")
        else:
            body = self.rfile.read(int(length))
            if len(body) == int(length):
                return body
            self.send_error(HTTPStatus.BAD_REQUEST)
        return None

    def begin_endless(self, kind: str) -> None:
        """Head of an answer that ends when the connection does."""
        self.close_connection = True
        self.send_head(HTTPStatus.OK, {"Content-Type": kind, "Connection": "close"})

    def send(
        self,
        body: bytes,
        kind: str,
        status: HTTPStatus = HTTPStatus.OK,
        extra: Mapping[str, str] | None = None,
    ) -> None:
        """A whole answer; `extra` are further headers."""
        head = {"Content-Type": kind} if kind else {}
        if status != HTTPStatus.NO_CONTENT:
            head["Content-Length"] = str(len(body))
        if self.close_connection:
            head["Connection"] = "close"
        self.send_head(status, {**head, **(extra or {})})
        if body and self.command != "HEAD":
            self.write(body)

    def send_head(self, status: HTTPStatus, fields: Mapping[str, str]) -> None:
        """Status and headers of an answer, security included."""
        self.connection.settimeout(_SEND_S)
        self.send_response(status)
        for name, value in {**SECURITY, **fields}.items():
            self.send_header(name, value)
        self.end_headers()

    def write(self, data: bytes) -> None:
        """Send within five seconds, or give the visitor up."""
        self.connection.settimeout(_SEND_S)
        self.wfile.write(data)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Say it in one line of plain text and hang up."""
        self.close_connection = True
        status = HTTPStatus(code)
        self.send(f"{message or status.phrase}\n".encode(), _TEXT, status)

    def log_message(self, *args: Any) -> None:
        """Nothing: the address of a first visit holds the token."""
