"""Records and signatures: one spelling, and nothing else is read."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from lipdeploy.core.content_hash import RECORD_KEY, Content
from lipdeploy.core.errors import VerificationError
from lipdeploy.core.manifest import Manifest, Numerics
from lipdeploy.core.record import (
    Record,
    Signature,
    record_from_text,
    signature_from_text,
    signed_bytes,
    standing_of,
)

RECORD = Record(
    "ab" * 32, 1.25, "statistical", 1e-7, ("bound",), 12, ("engine 1",), "0.1.0", "2026-01-01"
)
SIGNATURE = Signature("cd" * 32, "ef" * 64)
NUMERICS = Numerics("float32", 1e-7, "statistical")
MANIFEST = Manifest(("a", "b"), 8, 8, "threshold", 1, 1.25, (), 1.0, NUMERICS, "0")


def test_there_and_back() -> None:
    assert record_from_text(RECORD.to_text()) == RECORD
    assert signature_from_text(SIGNATURE.to_text()) == SIGNATURE
    assert RECORD.to_text().isascii()


def spelled(**changes: Any) -> str:
    fields = json.loads(RECORD.to_text()) | changes
    return json.dumps(fields, sort_keys=True, separators=(",", ":"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cannot be read"),
        ("null", "cannot be read"),
        ("[" * 60000, "cannot be read"),
        ("[" * 70000, "cannot be read"),
        (RECORD.to_text().replace("1.25", "NaN"), "cannot be read"),
        (spelled(schema=2), "schema 2, this version reads 1"),
        (spelled(schema=True), "schema True"),
        (json.dumps(json.loads(RECORD.to_text())), "no lipdeploy wrote"),  # other spelling
        (RECORD.to_text().replace('"frames":12', '"frames":12,"frames":12'), "no lipdeploy wrote"),
        (spelled(more=1), "no lipdeploy wrote"),
        (spelled(frames=1.5), "no lipdeploy wrote"),
        (spelled(lipschitz=1), "no lipdeploy wrote"),
        (spelled(lipschitz="1.25"), "no lipdeploy wrote"),
        (spelled(slack=None), "no lipdeploy wrote"),
        (RECORD.to_text().replace("1.25", "1e999"), "no lipdeploy wrote"),
        (spelled(level="certain"), "no lipdeploy wrote"),
        (spelled(level=["none"]), "no lipdeploy wrote"),
        (spelled(checks="bound"), "no lipdeploy wrote"),
        (spelled(checks=[1]), "no lipdeploy wrote"),
        (spelled(checks=None), "no lipdeploy wrote"),
        (spelled(engines=["\x1b[2J"]), "no lipdeploy wrote"),
        (spelled(time="\ud800"), "no lipdeploy wrote"),
        (spelled(content_sha256="AB" * 32), "no lipdeploy wrote"),
        (spelled(content_sha256="ab" * 31), "no lipdeploy wrote"),
        ('{"schema":1}', "no lipdeploy wrote"),
    ],
)
def test_anything_else_is_no_record(text: str, message: str) -> None:
    with pytest.raises(VerificationError, match=message) as caught:
        record_from_text(text)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "text",
    [
        "",
        SIGNATURE.to_text()[:-10],
        dataclasses.replace(SIGNATURE, signature="ef" * 63).to_text(),
        dataclasses.replace(SIGNATURE, key="cd" * 33).to_text(),
        dataclasses.replace(SIGNATURE, algorithm="none").to_text(),
        dataclasses.replace(SIGNATURE, schema=2).to_text(),
        SIGNATURE.to_text().replace("ef", "EF"),
        SIGNATURE.to_text() + " ",
    ],
)
def test_anything_else_is_no_signature(text: str) -> None:
    with pytest.raises(VerificationError, match="has a signature"):
        signature_from_text(text)


def standing_with(record: Record | str | None, manifest: Manifest = MANIFEST) -> str:
    text = record.to_text() if isinstance(record, Record) else record
    metadata = {} if text is None else {RECORD_KEY: text}
    return standing_of(Content("ab" * 32, metadata, ()), manifest).doubt


def test_a_record_must_be_of_this_content_and_this_manifest() -> None:
    assert standing_with(RECORD) == ""
    assert standing_with(None) == "has no verification record"
    assert "cannot be read" in standing_with("?")
    other = dataclasses.replace(RECORD, content_sha256="00" * 32)
    assert "changed after it was verified" in standing_with(other)
    for changes in ({"lipschitz": 1.0}, {"level": "proved"}, {"slack": 0.0}):
        wrong = dataclasses.replace(RECORD, **changes)
        assert "declares L, level and slack" in standing_with(wrong)


def test_what_is_signed_says_what_it_is() -> None:
    assert signed_bytes("{}") == b"lipdeploy verification record, schema 1\n{}"


def test_time_alone_is_no_difference() -> None:
    later = dataclasses.replace(RECORD, time="2030-01-01")
    assert RECORD.says_the_same(later)
    assert not RECORD.says_the_same(dataclasses.replace(later, frames=13))
