"""Sizes of files as people write them."""

from __future__ import annotations

import re

from lipdeploy.core.errors import InputError

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9}


def bytes_from_text(text: str) -> int:
    """`100MB`, `2G` or `500000` in bytes; a kB is 1000.

    >>> bytes_from_text("1.5MB")
    1500000

    Raises:
        InputError: no size, or below 1 byte.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMG]?)B?", text.strip().upper())
    size = int(float(found[1]) * _UNITS[found[2]]) if found else 0
    if size < 1:
        raise InputError(f"size {text!r} is not understood; expected for example 100MB")
    return size
