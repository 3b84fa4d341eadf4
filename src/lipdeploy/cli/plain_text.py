"""Words of a file that somebody else may have written."""

from __future__ import annotations


def printable(text: str) -> str:
    """The text on one line: it must not move the cursor or hide or imitate a line of ours."""
    return "".join(c if c.isprintable() else "?" for c in text)
