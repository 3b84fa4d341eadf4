"""Options behind the `?` of a source's address, apart from the query that belongs to a server."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from lipdeploy.core.errors import SourceError
from lipdeploy.runtime.sources.backoff import ONCE, Backoff
from lipdeploy.runtime.sources.redact import redacted

LIVE = ("reconnect", "reconnect_for", "open_timeout", "read_timeout", "stall")
_LONGEST_S = 3600.0
_MOST_TRIES = 1_000_000


@dataclass(frozen=True)
class LiveOptions:
    """How a live source is kept alive.

    Attributes:
        backoff: tries after a connection failed.
        open_s: a connection that takes longer to open has failed.
        read_s: a connection that delivers nothing for so long has failed, hung drivers included.
    """

    backoff: Backoff = ONCE
    open_s: float = 10.0
    read_s: float = 5.0


def seconds(text: str) -> float:
    """`4s`, `500ms`, `2min` or `4` in seconds.

    Raises:
        SourceError: no number, or below 0.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?|\.\d+)(ms|s|min|)", text)
    if not found:
        raise SourceError(f"time {text!r} is not understood; expected for example 4s, 500ms or 1.5")
    return float(found[1]) * {"ms": 1e-3, "min": 60.0}.get(found[2], 1.0)


def query_pairs(query: str) -> list[tuple[str, str]]:
    """Names and values; unlike in a web form a `+` is a plus."""
    parts = [part.partition("=") for part in query.split("&") if part]
    return [(unquote(name), unquote(value)) for name, _, value in parts]


def split_address(address: str, ours: Sequence[str]) -> tuple[str, dict[str, str]]:
    """The address without the options named in `ours`, to the letter, and these options."""
    base, mark, query = address.partition("?")
    found: dict[str, str] = {}
    theirs = []
    for part in query.split("&"):
        name, equals, value = part.partition("=")
        if equals and name in ours:
            found[name] = unquote(value)
        else:
            theirs.append(part)
    rest = "&".join(theirs)
    return (base + mark + rest if rest else base), found


def live_options(found: Mapping[str, str], address: str, backoff: Backoff) -> LiveOptions:
    """Read `reconnect`, `reconnect_for`, `open_timeout`, and `read_timeout` (or `stall`).

    Args:
        found: options of the address.
        address: for messages; its passwords are redacted here.
        backoff: where neither `reconnect` nor `reconnect_for` is there.

    Raises:
        SourceError: a value out of range.
    """
    read = found.get("stall", found.get("read_timeout"))
    default = LiveOptions()
    return LiveOptions(
        _backoff(found, address, backoff),
        _time(found.get("open_timeout"), "open_timeout", default.open_s, address),
        _time(read, "read_timeout", default.read_s, address),
    )


def _backoff(found: Mapping[str, str], address: str, default: Backoff) -> Backoff:
    tries, for_s = found.get("reconnect"), found.get("reconnect_for")
    if tries is None and for_s is None:
        return default
    if tries is not None and not (tries.isascii() and tries.isdigit() and len(tries) < 8):
        raise SourceError(
            f"{redacted(address)} has reconnect={tries}; expected a number of tries, "
            f"0 to {_MOST_TRIES}, or reconnect_for=60s"
        )
    limit_s = None if for_s is None else _time(for_s, "reconnect_for", 0.0, address, least_s=0.0)
    count = None if tries is None else min(int(tries), _MOST_TRIES)
    return Backoff(count, limit_s, default.first_s, default.cap_s)


def _time(
    text: str | None, name: str, default_s: float, address: str, least_s: float = 0.1
) -> float:
    if text is None:
        return default_s
    value_s = seconds(text)
    if not least_s <= value_s <= _LONGEST_S and name != "reconnect_for":
        raise SourceError(
            f"{redacted(address)} has {name}={text}; expected {least_s:g}s to {_LONGEST_S:g}s"
        )
    return value_s
