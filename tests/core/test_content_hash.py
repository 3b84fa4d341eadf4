"""The content hash against the onnx package, and every way known to fool a walk over fields."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable

import onnx
import pytest
from onnx import TensorProto, helper

from lipdeploy.core.content_hash import (
    KEYS_OUTSIDE_THE_CONTENT,
    MOST_FIELDS,
    RECORD_KEY,
    SIGNATURE_KEY,
    content_from_bytes,
    with_entries,
)
from lipdeploy.core.errors import VerificationError


def model(**metadata: str) -> onnx.ModelProto:
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])],
        [helper.make_tensor("w", TensorProto.FLOAT, [300], [0.5] * 300)],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    helper.set_model_props(made, metadata)
    return made


def plain() -> bytes:
    return bytes(model(names="{0: 'a'}", task="semantic").SerializeToString())


def sealed() -> bytes:
    return with_entries(plain(), {RECORD_KEY: '{"a":1}', SIGNATURE_KEY: "x" * 200})


def without_records(data: bytes) -> bytes:
    """What the onnx package makes of a file, less record and signature: the oracle."""
    parsed = onnx.load_model_from_string(data)
    kept = [p for p in parsed.metadata_props if p.key not in KEYS_OUTSIDE_THE_CONTENT]
    others = [onnx.StringStringEntryProto.FromString(p.SerializeToString()) for p in kept]
    del parsed.metadata_props[:]
    parsed.metadata_props.extend(others)
    return bytes(parsed.SerializeToString(deterministic=True))


def test_without_a_record_it_is_the_sha256_of_the_file() -> None:
    data = plain()
    found = content_from_bytes(data)
    assert found.sha256 == hashlib.sha256(data).hexdigest()
    assert dict(found.metadata) == {"names": "{0: 'a'}", "task": "semantic"}
    assert found.outside == ()


@pytest.mark.parametrize("place", [0, 1, 2])
def test_records_anywhere_are_left_out_as_the_onnx_package_sees_it(place: int) -> None:
    made = model(names="n", task="t")
    entries = list(made.metadata_props)
    for key in KEYS_OUTSIDE_THE_CONTENT:
        entries.insert(place, onnx.StringStringEntryProto(key=key, value="v" * 1000))
    del made.metadata_props[:]
    made.metadata_props.extend(entries)
    data = made.SerializeToString()
    expected = hashlib.sha256(without_records(data)).hexdigest()
    assert content_from_bytes(data).sha256 == expected
    assert dict(content_from_bytes(data).metadata) == {p.key: p.value for p in entries}


def test_writing_entries_changes_no_other_byte() -> None:
    data = plain()
    once = with_entries(data, {RECORD_KEY: "one", SIGNATURE_KEY: "s"})
    assert once.startswith(data)
    parsed = onnx.load_model_from_string(once)
    assert {p.key: p.value for p in parsed.metadata_props}[RECORD_KEY] == "one"
    twice = with_entries(once, {RECORD_KEY: "é" * 5000})
    assert content_from_bytes(twice).metadata[RECORD_KEY] == "é" * 5000
    assert SIGNATURE_KEY not in content_from_bytes(twice).metadata
    assert with_entries(twice, {}) == data
    assert content_from_bytes(twice).sha256 == content_from_bytes(data).sha256
    with pytest.raises(ValueError, match="names"):
        with_entries(data, {"names": "other"})


def field(number: int, payload: bytes, wire_type: int = 2) -> bytes:
    return bytes([number << 3 | wire_type, len(payload)]) + payload


KEY = RECORD_KEY.encode()


@pytest.mark.parametrize(
    "extra",
    [
        pytest.param(field(7, b""), id="second graph, which parsers merge"),
        pytest.param(b"\x08\x0a", id="second ir_version, which overrides"),
        pytest.param(field(2, b"p") * 2, id="second producer"),
        pytest.param(field(6, b"d") * 2, id="second doc string"),
        pytest.param(field(15, b"x"), id="unknown field"),
        pytest.param(b"\xfa\x07\x01x", id="field 127"),
        pytest.param(b"\x73" + field(1, KEY) + b"\x74", id="metadata as a group"),
        pytest.param(b"\x74", id="end of a group"),
        pytest.param(b"\x70\x01", id="metadata as a number"),
        pytest.param(b"\x75\x01\x01\x01\x01", id="metadata as 32 bits"),
        pytest.param(b"\x2d\x01\x01\x01\x01", id="model version as 32 bits"),
        pytest.param(b"\x76", id="wire type 6"),
        pytest.param(b"\x00\x00", id="field 0"),
        pytest.param(b"\xf2\x00\x00", id="tag longer than needed"),
        pytest.param(b"\x72\x80\x00", id="length longer than needed"),
        pytest.param(b"\x28" + b"\xff" * 9 + b"\x02", id="number beyond 64 bits"),
        pytest.param(b"\x28" + b"\x80" * 10 + b"\x01", id="number of eleven bytes"),
        pytest.param(b"\x72" + b"\xff" * 9 + b"\x01", id="length of 2^64 - 1"),
        pytest.param(b"\x72\xff\xff\xff\xff\x07" + b"x", id="length of 2 GiB"),
        pytest.param(b"\x72", id="tag alone"),
        pytest.param(b"\x72\xff", id="half a length"),
        pytest.param(field(14, field(1, b"task") + field(2, b"x")), id="key given twice"),
        pytest.param(field(14, field(1, KEY)) * 2, id="two records"),
        pytest.param(
            field(14, field(1, KEY) + field(2, b"v") + field(1, b"task")),
            id="entry that turns into another key at its end",
        ),
        pytest.param(field(14, field(1, b"a") + field(1, KEY)), id="entry of two keys"),
        pytest.param(field(14, field(1, KEY) + field(2, b"") * 2), id="entry of two values"),
        pytest.param(field(14, field(2, b"v") + field(1, KEY)), id="value before key"),
        pytest.param(field(14, field(1, KEY) + field(3, b"v")), id="entry with an unknown field"),
        pytest.param(field(14, b""), id="empty entry"),
        pytest.param(field(14, b"\x0a\x05abc"), id="key beyond its entry"),
        pytest.param(field(14, b"\x0a\x81\x00a"), id="key's length longer than needed"),
        pytest.param(field(14, field(1, b"\xff\xfe")), id="key that is not UTF-8"),
        pytest.param(b"\x42\x00" * (MOST_FIELDS + 1), id="more fields than any model has"),
    ],
)
def test_what_parsers_may_read_differently_is_refused(extra: bytes) -> None:
    for data in (plain() + extra, extra + plain()):
        with pytest.raises(VerificationError, match="not a plainly written ONNX file") as caught:
            content_from_bytes(data)
        assert "\n" not in str(caught.value)


def test_a_file_that_is_also_one_of_onnx_runtimes_own_format_is_refused() -> None:
    """The mark lies in the text of a field that no ONNX reader minds."""
    made = model()
    made.ClearField("ir_version")
    made.producer_name = "..ORTM" + "." * 10
    data = bytes(made.SerializeToString())
    assert data[4:8] == b"ORTM"
    onnx.load_model_from_string(data)
    with pytest.raises(VerificationError, match="another format too"):
        content_from_bytes(data)


def test_every_cut_is_refused_or_has_another_hash() -> None:
    data = sealed()
    whole = content_from_bytes(data).sha256
    boundary = len(plain())  # what is cut after it are records
    assert all(hash_or_none(data[:stop]) != whole for stop in range(boundary))


def hash_or_none(data: bytes) -> str | None:
    try:
        return content_from_bytes(data).sha256
    except VerificationError:
        return None


@pytest.mark.parametrize("seed", range(4))
def test_files_of_one_hash_are_one_model_to_the_onnx_package(seed: int) -> None:
    """Random edits: whatever is accepted with the old hash parses to the same model."""
    rng = random.Random(seed)
    data = sealed()
    whole, oracle = content_from_bytes(data).sha256, without_records(data)
    start = len(plain()) if seed % 2 else 0
    edits: list[Callable[[bytearray, int], object]] = [
        lambda d, i: d.__setitem__(i, rng.randrange(256)),
        lambda d, i: d.insert(i, rng.choice(b"\x08\x0a\x12\x3a\x72\x80\x00")),
        lambda d, i: d.__delitem__(i),
        lambda d, i: d.__setitem__(slice(i, i), d[rng.randrange(len(d)) :][:40]),
    ]
    same = 0
    for _ in range(1500):
        changed = bytearray(data)
        for _ in range(rng.choice((1, 1, 2))):
            rng.choice(edits)(changed, rng.randrange(start, len(changed)))
        found = hash_or_none(bytes(changed))
        if found == whole:
            same += 1
            assert without_records(bytes(changed)) == oracle
    assert same > 10 or not seed % 2
