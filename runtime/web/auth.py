"""Who may see the page and who may change anything.

Three attacks are refused: a stranger on the network (the token), a web page of somebody else that
resolves its own name to this machine (the Host header: DNS rebinding), and a web page of somebody
else that makes the visitor's browser send requests here (Origin and Sec-Fetch-Site).
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import socket
from email.message import Message
from http.cookies import CookieError, SimpleCookie
from typing import TypeAlias
from urllib.parse import urlsplit

from lipdeploy.runtime.web.address import PageAddress, is_loopback

Headers: TypeAlias = "Message[str, str]"


class Guard:
    """Judges requests by their headers.

    Args:
        address: where the page is served and its token; without a token everyone is admitted.
        port: the one that is listened on; names the cookie, which browsers share between ports.
    """

    def __init__(self, address: PageAddress, port: int) -> None:
        self._address = address
        self._token = address.token.encode()
        self._cookie_name = f"lipdeploy_{port}"
        # Derived, so that a cookie that leaks does not give the token away, and the same after a
        # restart, so that open pages come back by themselves.
        self._cookie = hmac.new(self._token, b"lipdeploy live page", hashlib.sha256).hexdigest()

    @property
    def set_cookie(self) -> str:
        """Value of the Set-Cookie header for a visitor who knew the token."""
        return f"{self._cookie_name}={self._cookie}; HttpOnly; SameSite=Strict; Path=/"

    def knows_host(self, headers: Headers) -> bool:
        """Whether the browser meant this machine, not a name that only resolves to it."""
        try:
            host = urlsplit(f"//{headers.get('Host', '')}").hostname or ""
        except ValueError:
            return False
        if is_loopback(host):
            return True
        return not self._address.loopback and self._is_own_name(host)

    def _is_own_name(self, host: str) -> bool:
        """An address (rebinding needs a name), the bound name, or this machine's in any domain."""
        try:
            ipaddress.ip_address(host)
        except ValueError:
            own, first = socket.gethostname().lower().partition(".")[0], host.partition(".")[0]
            return first == own or host == self._address.host.lower()
        return True

    def same_origin(self, headers: Headers) -> bool:
        """Whether a request that changes something comes from the page itself or from no page."""
        origin = headers.get("Origin")
        if origin is None:
            return self.same_site(headers)
        try:
            return urlsplit(origin).netloc.lower() == headers.get("Host", "").lower() != ""
        except ValueError:
            return False

    def same_site(self, headers: Headers) -> bool:
        """Whether a request is no embedding into the page of somebody else."""
        if headers.get("Sec-Fetch-Mode") == "navigate":  # a link to here is welcome
            return headers.get("Sec-Fetch-Dest", "document") == "document"
        return headers.get("Sec-Fetch-Site", "none") in ("same-origin", "none")

    def admits(self, headers: Headers, token: str | None) -> bool:
        """Whether the visitor knows the token: in the request, a bearer header or the cookie."""
        if not self._token:
            return True
        scheme, _, bearer = headers.get("Authorization", "").partition(" ")
        candidates = [token, bearer if scheme.lower() == "bearer" else None]
        known = any(_same(text, self._token) for text in candidates if text)
        return known or _same(self._cookie_of(headers), self._cookie.encode())

    def is_token(self, token: str | None) -> bool:
        """Whether this is the token, where there is one."""
        return bool(self._token and token and _same(token, self._token))

    def _cookie_of(self, headers: Headers) -> str:
        try:
            morsel = SimpleCookie(headers.get("Cookie", "")).get(self._cookie_name)
        except CookieError:
            return ""
        return morsel.value if morsel else ""


def _same(text: str, secret: bytes) -> bool:
    """Compared in a time that does not depend on where they differ."""
    return hmac.compare_digest(text.encode("utf-8", "surrogateescape"), secret)
