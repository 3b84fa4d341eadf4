"""Answers to requests: the page, its picture, its status, and the one thing that can be set."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from lipdeploy.core.errors import InputError
from lipdeploy.runtime.web.exchange import Exchange
from lipdeploy.runtime.web.responses import answer_event, answer_part

if TYPE_CHECKING:
    from lipdeploy.runtime.web.server import PageServer

_WAIT_S = 1.0  # for the next picture
_JSON = "application/json"
_TEXT = "text/plain; charset=utf-8"


class PageHandler(Exchange):
    """The routes of the page."""

    server: PageServer

    def do_GET(self) -> None:
        """Answer with a page, a picture or a status."""
        if "Content-Length" in self.headers or "Transfer-Encoding" in self.headers:
            self.close_connection = True  # a body nobody reads must not become the next request
        if self.server.site.guard.same_site(self.headers):
            self._answer(self._getters())
        else:
            self.send_error(HTTPStatus.FORBIDDEN, "this is not for pages of other sites")

    def do_HEAD(self) -> None:
        """As GET, without the body."""
        self.do_GET()

    def do_POST(self) -> None:
        """Change eps, or take a token."""
        if self.server.site.guard.same_origin(self.headers):
            self._answer({"/api/eps": self._set_eps, "/login": self._log_in})
        else:
            self.send_error(HTTPStatus.FORBIDDEN, "only the page itself may change anything")

    def _getters(self) -> dict[str, Callable[[], None]]:
        site = self.server.site
        return {
            "/": self._page,
            "/healthz": lambda: self.send(b"ok\n", _TEXT),
            "/frame.jpg": self._frame,
            "/stream.mjpg": self._stream,
            "/events": self._events,
            "/api/status": lambda: self.send(site.status.text.encode(), _JSON),
            "/api/history": lambda: self.send(site.status.history_text.encode(), _JSON),
        }

    def _answer(self, routes: Mapping[str, Callable[[], None]]) -> None:
        guard = self.server.site.guard
        path, query = self.target()
        token = query.get("token")
        if not guard.knows_host(self.headers):
            self.send_error(
                HTTPStatus.MISDIRECTED_REQUEST, "unknown Host; use this machine's name or address"
            )
        elif path not in ("/healthz", "/login") and not guard.admits(self.headers, token):
            self._ask_for_token(path)
        elif path in routes:
            routes[path]()
        elif self.command != "POST" and path.startswith("/static/"):
            self._static(path.removeprefix("/static/"))
        else:
            self.send_error(HTTPStatus.NOT_FOUND, "there is no such page")

    def _ask_for_token(self, path: str) -> None:
        if path == "/":
            form = self.server.site.files["login.html"]
            self.send(form.content, form.kind, HTTPStatus.UNAUTHORIZED)
        else:
            self.send_error(HTTPStatus.UNAUTHORIZED, "a token is needed: open /?token=...")

    def _page(self) -> None:
        guard = self.server.site.guard
        page = self.server.site.files["index.html"]
        knew = guard.is_token(self.target()[1].get("token"))
        # Answered here and not by a redirect: a strict cookie would not go with one that began
        # at a link in a mail. The page takes the token out of the address itself.
        self.send(page.content, page.kind, extra={"Set-Cookie": guard.set_cookie} if knew else {})

    def _static(self, name: str) -> None:
        file = self.server.site.files.get(name)
        if file is None:
            self.send_error(HTTPStatus.NOT_FOUND, "there is no such file")
        else:
            self.send(file.content, file.kind)

    def _frame(self) -> None:
        """The next picture after the one named; no content where none comes within a second."""
        after = self.target()[1].get("after", "")
        picture = self.server.site.pictures.newer(after, _WAIT_S)
        if picture is None:
            self.send(b"", "", HTTPStatus.NO_CONTENT)
            return
        extra = {
            "X-Picture": picture.key,
            "X-Age-Ms": str(picture.age_ms),
            "X-State": picture.state,
            "X-Reason": _header_text(picture.reason),
        }
        self.send(picture.jpeg, "image/jpeg", extra=extra)

    def _stream(self) -> None:
        """Pictures without end, as parts of one answer, for viewers other than the page."""
        self.begin_endless("multipart/x-mixed-replace; boundary=picture")
        seen, pictures = "", self.server.site.pictures
        while not (pictures.closed or self.command == "HEAD"):
            picture = pictures.newer(seen, _WAIT_S)
            if picture is not None:
                seen = picture.key
                self.write(answer_part(picture.jpeg))

    def _events(self) -> None:
        """Status without end, as server-sent events."""
        self.begin_endless("text/event-stream; charset=utf-8")
        number, status = 0, self.server.site.status
        while not (status.closed or self.command == "HEAD"):
            seen, (number, text) = number, status.newer(number, _WAIT_S)
            if number != seen:
                self.write(answer_event(text))
        if status.closed:
            self.write(answer_event("{}", "end"))

    def _set_eps(self) -> None:
        controls = self.server.site.controls
        if controls is None:
            self.send_error(HTTPStatus.CONFLICT, "eps is fixed in this run")
            return
        body = self.body(_JSON)
        if body is None:
            return
        try:
            controls.set_eps(_eps_from(body))
        except InputError as error:
            self.send_error(HTTPStatus.UNPROCESSABLE_ENTITY, str(error))
            return
        self.send(json.dumps({"eps": controls.eps}).encode(), _JSON)

    def _log_in(self) -> None:
        guard = self.server.site.guard
        body = self.body("application/x-www-form-urlencoded")
        if body is None:
            return
        fields = parse_qs(body.decode("utf-8", "replace"), max_num_fields=8)
        extra = {"Location": "/"}
        if guard.is_token(fields.get("token", [""])[-1]):
            extra["Set-Cookie"] = guard.set_cookie
        self.send(b"", "", HTTPStatus.SEE_OTHER, extra)


def _header_text(text: str) -> str:
    return "".join(c if c.isascii() and c.isprintable() else "?" for c in text)[:200]


def _eps_from(body: bytes) -> float:
    """The number in `{"eps": 0.25}`.

    Raises:
        InputError: it is something else.
    """
    try:
        value = json.loads(body)["eps"]
    except (ValueError, KeyError, TypeError, RecursionError):
        value = None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or abs(value) > 1e18:
        raise InputError('the body holds no usable eps; expected {"eps": 0.25}')
    return float(value)
