"""Addresses as messages and logs may quote them."""

from __future__ import annotations

import re

_WORDS = "pass|pwd|token|key|secret|auth|credential|signature|pw"
# Some cameras want the password in the path: /user=admin_password=..._channel=1_stream=0.sdp
_KEY = rf"(?i)((?:^|[/=?&#;\s!\"'])(?:[\w.\-]*(?:{_WORDS})[\w.\-]*|sig)\s*=\s*)[^&#;\s!]*"
# Also where a slash or the whole scheme was forgotten: what is refused is quoted, too.
_USERINFO = r"((?:^|:/+)[^/?#@:\s]*):[^/?#\s]*@"
# A password that should have been percent-encoded; digits up to the path are a port.
_BARE_USERINFO = r"(://[^/?#@:\[\s]*):(?!\d+(?:[/?#]|$))[^\s]*@"


def redacted(address: str) -> str:
    """The address with its passwords, and values whose name says so, replaced by `***`."""
    address = re.sub(_USERINFO, r"\1:***@", address)
    address = re.sub(_BARE_USERINFO, _kept_if_redacted, address)
    return re.sub(_KEY, r"\1***", address)


def _kept_if_redacted(found: re.Match[str]) -> str:
    return found[0] if ":***@" in found[0] else f"{found[1]}:***@"
