"""Who may see the live page and who may change eps, asked over HTTP."""

from __future__ import annotations

import pytest

from lipdeploy.core.errors import InputError
from lipdeploy.runtime.web import PageSink, open_page
from tests.runtime.page_feed import Context
from tests.runtime.page_visits import ask, port_of, raw, set_eps

SECRET = "correct-horse"


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
