"""Addresses of the live page, and who is let in."""

from __future__ import annotations

import socket

import pytest

from lipdeploy.core.errors import InputError
from lipdeploy.runtime.web.address import PageAddress, is_loopback, page_address
from lipdeploy.runtime.web.auth import Guard
from tests.runtime.page_feed import headers

SECRET = "correct-horse"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://127.0.0.1:8080", PageAddress("127.0.0.1", 8080)),
        ("http://localhost", PageAddress("localhost", 8080)),
        ("http://[::1]:90/", PageAddress("::1", 90)),
        (f"http://0.0.0.0:1?token={SECRET}", PageAddress("0.0.0.0", 1, SECRET)),
        ("http://h/?token=a%26b%26c%26d%26", PageAddress("h", 8080, "a&b&c&d&")),
    ],
)
def test_addresses(text: str, expected: PageAddress) -> None:
    assert page_address(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "https://127.0.0.1:8080",
        "http://",
        "http://127.0.0.1:99999",
        "http://127.0.0.1:x",
        "http://[::1",
        "http://user@127.0.0.1",
        "http://127.0.0.1/page",
        "http://127.0.0.1#x",
        f"http://0.0.0.0?token={SECRET}&token={SECRET}",
        f"http://0.0.0.0?tokn={SECRET}",
        "http://0.0.0.0?token=",
        "http://0.0.0.0?token=short",
        "http://0.0.0.0?token=t%C3%B6ken-token",
        "http://0.0.0.0?token=with%0Aa-newline",
    ],
)
def test_refused_addresses_say_what_to_do_and_never_the_token(text: str) -> None:
    with pytest.raises(InputError, match="sink 'http") as caught:
        page_address(text)
    assert "\n" not in str(caught.value)
    assert SECRET not in str(caught.value)
    assert "short" not in str(caught.value)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "a.localhost", "127.3.2.1", "::1"])
def test_loopback(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "localhost.evil.example", ""])
def test_not_loopback(host: str) -> None:
    assert not is_loopback(host)


OWN = socket.gethostname().lower().partition(".")[0]


@pytest.mark.parametrize(
    ("bound", "host", "known"),
    [
        ("127.0.0.1", "127.0.0.1:8080", True),
        ("127.0.0.1", "localhost:9999", True),  # through an SSH tunnel
        ("127.0.0.1", "[::1]:8080", True),
        ("127.0.0.1", "evil.example:8080", False),
        ("127.0.0.1", "127.0.0.1.evil.example", False),
        ("127.0.0.1", "10.0.0.7", False),
        ("127.0.0.1", "", False),
        ("127.0.0.1", "[::1", False),
        ("0.0.0.0", "10.0.0.7:8080", True),
        ("0.0.0.0", f"{OWN}.lan:8080", True),
        ("0.0.0.0", "evil.example", False),
        ("robot", "robot:8080", True),
    ],
)
def test_hosts(bound: str, host: str, known: bool) -> None:
    guard = Guard(PageAddress(bound, 8080, "" if bound[0] == "1" else SECRET), 8080)
    assert guard.knows_host(headers(Host=host)) is known


def test_host_is_needed() -> None:
    assert not Guard(PageAddress("127.0.0.1", 1), 1).knows_host(headers())


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("http://127.0.0.1:8080", True),
        ("https://127.0.0.1:8080", True),  # behind a proxy that speaks TLS
        ("http://127.0.0.1:8081", False),
        ("http://127.0.0.1", False),
        ("http://evil.example", False),
        ("null", False),
        ("", False),
        ("http://[", False),
    ],
)
def test_origins(origin: str, allowed: bool) -> None:
    guard = Guard(PageAddress("127.0.0.1", 8080), 8080)
    assert guard.same_origin(headers(Host="127.0.0.1:8080", Origin=origin)) is allowed


def test_embedding_is_refused_and_links_are_not() -> None:
    guard = Guard(PageAddress("127.0.0.1", 8080), 8080)
    link = headers(
        Sec_Fetch_Mode="navigate", Sec_Fetch_Dest="document", Sec_Fetch_Site="cross-site"
    )
    frame = headers(Sec_Fetch_Mode="navigate", Sec_Fetch_Dest="iframe", Sec_Fetch_Site="cross-site")
    assert guard.same_site(headers())  # no browser, or an old one
    assert guard.same_site(link)
    assert not guard.same_site(frame)
    assert guard.same_site(headers(Sec_Fetch_Site="same-origin"))
    assert not guard.same_site(headers(Sec_Fetch_Site="cross-site"))
    assert not guard.same_site(headers(Sec_Fetch_Site="same-site"))  # another port of this machine


def test_tokens() -> None:
    guard = Guard(PageAddress("0.0.0.0", 8080, SECRET), 8080)
    cookie = guard.set_cookie.partition(";")[0]
    assert "HttpOnly" in guard.set_cookie
    assert "SameSite=Strict" in guard.set_cookie
    assert SECRET not in guard.set_cookie
    assert guard.admits(headers(), SECRET)
    assert guard.admits(headers(Authorization=f"Bearer {SECRET}"), None)
    assert guard.admits(headers(Cookie=f"a=b; {cookie}"), None)
    for wrong in (None, "", SECRET + "x", SECRET[:-1], "ö"):
        assert not guard.admits(headers(), wrong)
    assert not guard.admits(headers(Cookie=cookie[:-1]), None)
    assert not guard.admits(headers(Cookie=f"lipdeploy_8080={SECRET}"), None)
    assert not guard.admits(headers(Cookie='"\0;=;;'), None)
    assert not guard.admits(headers(Authorization=f"Basic {SECRET}"), None)


def test_a_cookie_is_of_one_token_and_lives_through_a_restart() -> None:
    first, again, other = (
        Guard(PageAddress("0.0.0.0", 8080, token), 8080)
        for token in (SECRET, SECRET, "another-one")
    )
    assert first.set_cookie == again.set_cookie != other.set_cookie


def test_without_a_token_everyone_who_reaches_the_page_is_admitted() -> None:
    guard = Guard(PageAddress("127.0.0.1", 8080), 8080)
    assert guard.admits(headers(), None)
    assert not guard.is_token("")
