"""The `http://` sink: results on a web page that anyone with a browser can watch."""

from __future__ import annotations

import secrets
import socket
import sys
from collections.abc import Callable
from dataclasses import replace

from lipdeploy.runtime.result import Result
from lipdeploy.runtime.web.address import PageAddress, page_address
from lipdeploy.runtime.web.auth import Guard
from lipdeploy.runtime.web.context import PageContext
from lipdeploy.runtime.web.history import History
from lipdeploy.runtime.web.pictures import PictureFeed
from lipdeploy.runtime.web.server import PageServer
from lipdeploy.runtime.web.site import Site, static_files
from lipdeploy.runtime.web.status_feed import StatusFeed


class PageSink:
    """Serves the newest result; `write` only keeps it, so that no visitor can delay a frame.

    Encoding happens in the threads of the visitors, once a picture, and only when one is looking.

    Args:
        address: where to listen; without a token, whoever reaches it may watch and set eps.
        context: of the stream.

    Raises:
        InputError: the address cannot be listened on.
    """

    wants_overlay = True
    live = True

    def __init__(self, address: PageAddress, context: PageContext) -> None:
        self._server = PageServer(address)
        self._address = address
        self._pictures = PictureFeed()
        self._history = History()
        self._status = StatusFeed(context, self._pictures, self._history)
        guard = Guard(address, self._server.port)
        self._status.start()
        self._server.start(
            Site(guard, self._pictures, self._status, context.controls, static_files())
        )

    @property
    def url(self) -> str:
        """What to open in a browser, without the token."""
        return self._address.url(self._server.port)

    @property
    def connections(self) -> int:
        """Visitors' connections that are open now."""
        return self._server.connections

    def write(self, result: Result) -> None:
        """Show it from now on."""
        self._history.add(result)
        self._pictures.put(result)

    def describe(self) -> str:
        """The page's address."""
        return self.url

    def close(self) -> None:
        """Tell visitors that the stream has ended, and stop listening."""
        self._pictures.close()
        self._status.close()
        self._server.close()


def open_page(
    address: str, context: PageContext, announce: Callable[[str], None] | None = None
) -> PageSink:
    """Open `http://127.0.0.1:8080`, or `http://0.0.0.0:8080?token=SECRET` for other machines.

    Beyond loopback there always is a token: where none is named, one is made and announced once.

    Args:
        address: what the user wrote.
        context: of the stream.
        announce: takes the one line with the new token; by default it goes to stderr.

    Raises:
        InputError: the address is not understood or cannot be listened on.
    """
    where = page_address(address)
    made = not where.loopback and not where.token
    if made:
        where = replace(where, token=secrets.token_urlsafe(24))
    sink = PageSink(where, context)
    if made:
        shown = replace(where, host=_name_to_open(where.host)).url(int(sink.url.rpartition(":")[2]))
        (announce or _to_stderr)(f"live page: {shown}/?token={where.token}")
    return sink


def _name_to_open(host: str) -> str:
    """A name that other machines may know, where every interface is listened on."""
    return socket.gethostname() if host in ("0.0.0.0", "::") else host


def _to_stderr(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
