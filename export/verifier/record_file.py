"""What a verification leaves in the file: a record, a record with a signature, or none.

A record that says the same as the new one stays, so verifying twice changes no byte. One that is
valid and signed stays too, since only the signer can sign another, unless it vouches for an engine
that failed just now. A file that fails loses both: a device must not run on an older verdict.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from lipdeploy.core.content_hash import (
    KEYS_OUTSIDE_THE_CONTENT,
    RECORD_KEY,
    SIGNATURE_KEY,
    content_from_bytes,
    with_entries,
)
from lipdeploy.core.errors import VerificationError
from lipdeploy.core.record import Record, standing_of
from lipdeploy.export.verifier.execution import covered_engines
from lipdeploy.export.verifier.verification import Verification
from lipdeploy.runtime.measured_engines import family
from lipdeploy.runtime.model_file import read_bytes, read_model

Sign = Callable[[str], str]  # the text of a record to the text of its signature

_ANY_WRITE = 0o222


def keep_record(path: Path, found: Verification, sign: Sign | None = None) -> str:
    """Bring the file's record in line with what was found; returns what was done, in words.

    Raises:
        OSError: the file or its folder cannot be written, also where only the mode says so.
        VerificationError: the file was changed while it was verified.
    """
    if found.record is None:
        return _removed(path, found.content_sha256)
    if sign is None:
        kept = _kept(path, found)
        if kept:
            return kept
    text = found.record.to_text()
    entries = {RECORD_KEY: text} | ({SIGNATURE_KEY: sign(text)} if sign else {})
    write_entries(path, entries, found.record.content_sha256)
    return "written and signed" if sign else "written"


def _kept(path: Path, found: Verification) -> str:
    """Why the record of the file stays as it is; empty if it does not."""
    file = read_model(path)
    old = standing_of(file.content, file.manifest)
    if not old.valid or old.record is None or found.record is None:
        return ""
    if file.content.sha256 != found.record.content_sha256:
        return ""  # another file took its place: writing will say so
    if old.record.says_the_same(found.record):
        return f"valid, of {old.record.time}"
    if old.signature_text is not None and not _refuted(old.record, found):
        return f"valid and signed, of {old.record.time}; --sign replaces both"
    return ""


def _refuted(old: Record, found: Verification) -> bool:
    """Whether the old record stands for an engine of a family that was found wrong."""
    failed = {row.engine for row in found.errors} - {*covered_engines(found.errors, old.level)}
    return not {family(name) for name in failed}.isdisjoint(map(family, old.engines))


def _removed(path: Path, content_sha256: str) -> str:
    try:
        metadata = content_from_bytes(read_bytes(path)).metadata
    except VerificationError:
        return "none"
    if not any(key in metadata for key in KEYS_OUTSIDE_THE_CONTENT):
        return "none"
    write_entries(path, {}, content_sha256)
    return "removed: the file failed"


def write_entries(path: Path, entries: Mapping[str, str], content_sha256: str) -> None:
    """Replace record and signature of a file by `entries`; every other byte stays as it is.

    The file is replaced in one step, so a reader sees the old one or the new one. A symbolic link
    stays a link, and the mode stays.

    Args:
        path: the file.
        entries: some of `KEYS_OUTSIDE_THE_CONTENT`; the others are removed.
        content_sha256: what the file must still hold.

    Raises:
        OSError: file or folder cannot be written, also where only the mode says so.
        VerificationError: the file was changed in the meantime.
    """
    target = path.resolve()
    data = read_bytes(target)
    if content_from_bytes(data).sha256 != content_sha256:
        raise VerificationError(f"{path} was changed while it was verified; verify it again")
    after = with_entries(data, entries)
    if content_from_bytes(after).sha256 != content_sha256:
        raise VerificationError(f"{path}: writing the record would change the content; report this")
    if after == data:
        return
    if not target.stat().st_mode & _ANY_WRITE:
        raise PermissionError(13, "the file is read-only", str(path))
    _replace(target, after)


def _replace(target: Path, data: bytes) -> None:
    handle, partial = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(partial).chmod(target.stat().st_mode & 0o7777)
        Path(partial).replace(target)
    except BaseException:
        Path(partial).unlink(missing_ok=True)
        raise
