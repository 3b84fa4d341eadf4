"""The verification record: what `lipdeploy verify` found, kept in the file that it checked.

A record says that a verification passed for exactly this content. It protects against accidents: a
file that was edited, re-exported, swapped or never checked. It does not protect against malice,
because anyone can write one; for that, a record can be signed (`Signature`).

Record and signature are JSON of one spelling (sorted keys, no spaces, ASCII), so that one record is
one sequence of bytes: a text that is not spelled so is refused, and the bytes in the file are the
bytes that were signed.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from lipdeploy.core.content_hash import RECORD_KEY, SIGNATURE_KEY, Content
from lipdeploy.core.errors import VerificationError
from lipdeploy.core.manifest import LEVELS, Level, Manifest

RECORD_SCHEMA = 1
SIGNATURE_SCHEMA = 1
ALGORITHM = "ed25519"
# A signature over a record must not be one over anything else that the same key may sign.
SIGNED_PREFIX = b"lipdeploy verification record, schema 1\n"

_LONGEST = 65536  # characters
_HASH = re.compile(r"[0-9a-f]{64}")
_KEY, _SIGNATURE = re.compile(r"[0-9a-f]{64}"), re.compile(r"[0-9a-f]{128}")


@dataclass(frozen=True)
class Record:
    """One verification that passed.

    Attributes:
        content_sha256: of the file's content, see `lipdeploy.core.content_hash`.
        lipschitz: L, proved to be an upper bound for the stored weights.
        level: guarantee level that the file's evidence carries.
        slack: D, on which the level rests.
        checks: what was checked, in words.
        frames: on how many frames the engines were compared with float64.
        engines: name and version of each engine that was compared.
        lipdeploy: version that checked.
        time: UTC, ISO 8601.
    """

    content_sha256: str
    lipschitz: float
    level: Level
    slack: float
    checks: tuple[str, ...]
    frames: int
    engines: tuple[str, ...]
    lipdeploy: str
    time: str
    schema: int = RECORD_SCHEMA

    def to_text(self) -> str:
        """The one spelling of this record."""
        return _spelled(dataclasses.asdict(self))

    def says_the_same(self, other: Record) -> bool:
        """Whether two verifications found the same, at whatever time."""
        return dataclasses.replace(self, time=other.time) == other


@dataclass(frozen=True)
class Signature:
    """An Ed25519 signature of a record's text.

    Attributes:
        key: the signer's public key, 32 bytes in hex; says whom to ask, proves nothing.
        signature: 64 bytes in hex, over `signed_bytes`.
    """

    key: str
    signature: str
    algorithm: str = ALGORITHM
    schema: int = SIGNATURE_SCHEMA

    def to_text(self) -> str:
        """The one spelling of this signature."""
        return _spelled(dataclasses.asdict(self))


@dataclass(frozen=True)
class Standing:
    """Whether a file was verified as it is.

    Attributes:
        doubt: why it is not, for a sentence that starts with the file's name; empty if it is.
        record: its record, also one that is not valid; None without a readable one.
        record_text: as stored.
        signature_text: as stored, not checked.
        content_sha256: of the file as it is.
    """

    doubt: str
    record: Record | None = None
    record_text: str | None = None
    signature_text: str | None = None
    content_sha256: str = ""

    @property
    def valid(self) -> bool:
        """Whether the record belongs to this content and this metadata."""
        return not self.doubt


def signed_bytes(record_text: str) -> bytes:
    """What a signature is over: a prefix of this purpose alone, then the record as stored."""
    return SIGNED_PREFIX + record_text.encode()


def standing_of(content: Content, manifest: Manifest) -> Standing:
    """Judge the record of a file against its content and metadata. Does not look at signatures."""
    text = content.metadata.get(RECORD_KEY)
    signature = content.metadata.get(SIGNATURE_KEY)
    if text is None:
        return Standing("has no verification record", None, None, signature, content.sha256)
    try:
        record = record_from_text(text)
    except VerificationError as error:
        return Standing(str(error), None, text, signature, content.sha256)
    doubt = _doubt(record, content, manifest)
    return Standing(doubt, record, text, signature, content.sha256)


def _doubt(record: Record, content: Content, manifest: Manifest) -> str:
    if record.content_sha256 != content.sha256:
        return "was changed after it was verified: its record is of another content"
    numerics = manifest.numerics
    verified = (record.lipschitz, record.level, record.slack)
    declared = (manifest.lipschitz, numerics.level, numerics.slack)
    if verified != declared:
        return f"declares L, level and slack {declared}, its record verified {verified}"
    return ""


def record_from_text(text: str) -> Record:
    """Read a record.

    Raises:
        VerificationError: not the spelling of a record of this schema; the message continues a
            sentence that starts with the file's name.
    """
    fields = _parsed(text, RECORD_SCHEMA, "verification record")
    try:
        record = Record(
            **fields | {"checks": tuple(fields["checks"]), "engines": tuple(fields["engines"])}
        )
        well_formed = _is_well_formed(record) and record.to_text() == text
    except (KeyError, TypeError, ValueError, RecursionError):
        well_formed = False
    if not well_formed:
        raise VerificationError("has a verification record that no lipdeploy wrote")
    return record


def signature_from_text(text: str) -> Signature:
    """Read a signature; its 64 bytes are not checked.

    Raises:
        VerificationError: as `record_from_text`.
    """
    fields = _parsed(text, SIGNATURE_SCHEMA, "signature")
    try:
        found = Signature(**fields)
        well_formed = (
            found.algorithm == ALGORITHM
            and _matches(_KEY, found.key)
            and _matches(_SIGNATURE, found.signature)
            and found.to_text() == text
        )
    except (TypeError, ValueError, RecursionError):
        well_formed = False
    if not well_formed:
        raise VerificationError("has a signature that is not a whole Ed25519 signature")
    return found


def _is_well_formed(record: Record) -> bool:
    numbers = (record.lipschitz, record.slack)
    texts = (*record.checks, *record.engines, record.lipdeploy, record.time)
    return (
        _matches(_HASH, record.content_sha256)
        and record.level in LEVELS
        and all(type(n) is float and math.isfinite(n) for n in numbers)
        and type(record.frames) is int
        and all(isinstance(t, str) and t.isprintable() for t in texts)
    )


def _matches(pattern: re.Pattern[str], text: Any) -> bool:
    return isinstance(text, str) and pattern.fullmatch(text) is not None


def _parsed(text: str, schema: int, what: str) -> dict[str, Any]:
    try:
        if len(text) > _LONGEST:
            raise ValueError
        fields = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise VerificationError(f"has a {what} that cannot be read") from None
    if not isinstance(fields, dict):
        raise VerificationError(f"has a {what} that cannot be read")
    if fields.get("schema") != schema or isinstance(fields["schema"], bool):
        found = str(fields.get("schema"))[:20]
        raise VerificationError(f"has a {what} of schema {found}, this version reads {schema}")
    return fields


def _no_constant(_: str) -> NoReturn:
    raise ValueError


def _spelled(fields: Mapping[str, Any]) -> str:
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), allow_nan=False)
