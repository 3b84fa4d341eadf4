"""Where a live page is served, from what the user wrote."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from urllib.parse import SplitResult, parse_qsl, urlsplit

from lipdeploy.core.errors import InputError
from lipdeploy.runtime.sources.redact import redacted

PORT = 8080
_SHORTEST_TOKEN = 8
_EXPECTED = "http://127.0.0.1:8080, or http://0.0.0.0:8080?token=SECRET for other machines"


@dataclass(frozen=True)
class PageAddress:
    """Where to listen.

    Attributes:
        host: name or address to bind, without brackets.
        port: 0 for any free one.
        token: what a visitor must know; empty where nothing was asked for.
    """

    host: str
    port: int
    token: str = ""

    @property
    def loopback(self) -> bool:
        """Whether only this machine can connect."""
        return is_loopback(self.host)

    def url(self, port: int) -> str:
        """What to open in a browser, without the token."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{port}"


def page_address(text: str) -> PageAddress:
    """Read `http://host:port?token=SECRET`; the port is 8080 where none is named.

    Raises:
        InputError: anything else. The message never repeats the token.
    """
    shown = redacted(text.split("?", 1)[0])
    try:
        parts = urlsplit(text)
        port = PORT if parts.port is None else parts.port
    except ValueError as error:
        raise InputError(f"sink {shown!r} is no address ({error}); expected {_EXPECTED}") from error
    if parts.scheme == "https":
        raise InputError(
            f"sink {shown!r} asks for TLS, which the live page does not speak; use http:// "
            "behind a proxy or an SSH tunnel"
        )
    if parts.scheme != "http" or not parts.hostname or _has_more(parts):
        raise InputError(f"sink {shown!r} is no live page; expected {_EXPECTED}")
    return PageAddress(parts.hostname, port, _token(parts.query, shown))


def is_loopback(host: str) -> bool:
    """Whether a host name or address always means this machine."""
    name = host.lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _has_more(parts: SplitResult) -> bool:
    return bool(parts.path not in ("", "/") or parts.fragment or "@" in parts.netloc)


def _token(query: str, shown: str) -> str:
    fields = parse_qsl(query, keep_blank_values=True)
    if [name for name, _ in fields] not in ([], ["token"]):
        raise InputError(f"sink {shown!r} has an unknown option; expected at most ?token=SECRET")
    token = fields[0][1] if fields else ""
    if fields and (len(token) < _SHORTEST_TOKEN or not token.isascii() or not token.isprintable()):
        raise InputError(
            f"the token of sink {shown!r} is too weak or not plain ASCII; expected "
            f"{_SHORTEST_TOKEN} printable characters or more, or none to have one made"
        )
    return token
