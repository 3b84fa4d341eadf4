"""The hash of an ONNX file's content, computed from its bytes without an ONNX parser.

A verification record lies inside the file that it vouches for, so it cannot be part of what it
hashes. The content is the file without the metadata entries `lipdeploy.verification` and
`lipdeploy.signature`: the hash of a file that carries neither is its plain SHA-256. Graph, weights,
opsets and all other metadata are covered, byte for byte.

Only the top-level fields of `ModelProto` are walked. The hash is sound if every parser reads a
file with a record as it reads the file without it, and as every other parser does. A later protobuf
field may override or merge with an earlier one, and parsers differ in what they tolerate, so
anything that no exporter writes is refused (docs/design/0006-verification-record.md):

* a field outside `ModelProto`, a field of another wire type than its own, and groups;
* a second `graph`, `ir_version` or other singular field;
* tags, lengths and numbers longer than they need to be, or beyond the end of the file;
* a metadata entry that is anything but one key and then one value, and a key given twice;
* the mark by which ONNX Runtime takes a file for one of its own format, and runs another graph.

Linear in the size of the file, without recursion.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from lipdeploy.core.errors import VerificationError

RECORD_KEY = "lipdeploy.verification"
SIGNATURE_KEY = "lipdeploy.signature"
KEYS_OUTSIDE_THE_CONTENT = (RECORD_KEY, SIGNATURE_KEY)

LARGEST_FILE = 2**31 - 1  # bytes; protobuf reads no more
MOST_FIELDS = 100_000  # at the top level: a hostile file must not keep the walk busy

# A FlatBuffers file carries its type here; it may be the text of a field of an ONNX file as well.
_ORT_MARK, _ORT_MARK_AT = b"ORTM", slice(4, 8)

_VARINT, _BYTES = 0, 2
_METADATA = 14
_WIRE_TYPES = {
    1: _VARINT,  # ir_version
    2: _BYTES,  # producer_name
    3: _BYTES,  # producer_version
    4: _BYTES,  # domain
    5: _VARINT,  # model_version
    6: _BYTES,  # doc_string
    7: _BYTES,  # graph
    8: _BYTES,  # opset_import
    _METADATA: _BYTES,  # metadata_props
    20: _BYTES,  # training_info
    25: _BYTES,  # functions
    26: _BYTES,  # configuration
}
_REPEATED = frozenset({8, _METADATA, 20, 25, 26})
_LONGEST_VARINT = 10  # bytes of 64 bits


@dataclass(frozen=True)
class Content:
    """What the walk found.

    Attributes:
        sha256: of all bytes but those of the entries named in `KEYS_OUTSIDE_THE_CONTENT`, in hex.
        metadata: every metadata entry, those two included.
        outside: [start, stop) of each entry that is not hashed.
    """

    sha256: str
    metadata: Mapping[str, str]
    outside: tuple[tuple[int, int], ...]


def content_from_bytes(data: bytes) -> Content:
    """Walk the top level of a file.

    Raises:
        VerificationError: the bytes are not a plainly written ONNX file, see above.
    """
    if len(data) > LARGEST_FILE:
        raise _refusal(f"the file has {len(data)} bytes, at most {LARGEST_FILE} can be read")
    if data[_ORT_MARK_AT] == _ORT_MARK:
        raise _refusal("it can be read as another format too, bytes 4 to 7 are ORTM")
    metadata: dict[str, str] = {}
    outside: list[tuple[int, int]] = []
    for number, start, payload, stop in _fields(data):
        if number == _METADATA:
            key, value = _entry(data, payload, stop)
            if key in metadata:
                raise _refusal(f"metadata key {key!r} is given twice")
            metadata[key] = value
            if key in KEYS_OUTSIDE_THE_CONTENT:
                outside.append((start, stop))
    digest = hashlib.sha256()
    for start, stop in _inside(len(data), outside):
        digest.update(memoryview(data)[start:stop])
    return Content(digest.hexdigest(), metadata, tuple(outside))


def with_entries(data: bytes, entries: Mapping[str, str]) -> bytes:
    """The same content with exactly these entries outside it: all other bytes stay as they are.

    Raises:
        VerificationError: the bytes are not a plainly written ONNX file.
        ValueError: an entry that belongs to the content.
    """
    if not set(entries) <= set(KEYS_OUTSIDE_THE_CONTENT):
        raise ValueError(f"{sorted(entries)} are not all in {KEYS_OUTSIDE_THE_CONTENT}")
    outside = content_from_bytes(data).outside
    kept = [data[start:stop] for start, stop in _inside(len(data), outside)]
    return b"".join([*kept, *(_encoded(key, value) for key, value in entries.items())])


def _inside(
    size: int, outside: list[tuple[int, int]] | tuple[tuple[int, int], ...]
) -> list[tuple[int, int]]:
    """What is left of [0, size) without the spans, in order."""
    starts = [0, *(stop for _, stop in outside)]
    stops = [*(start for start, _ in outside), size]
    return list(zip(starts, stops, strict=True))


def _fields(data: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Number, start, start of the payload and stop of every top-level field."""
    position, seen = 0, set()
    for _ in range(MOST_FIELDS):
        if position == len(data):
            return
        start = position
        number, wire_type, position = _tag(data, position, len(data))
        if _WIRE_TYPES.get(number) != wire_type:
            raise _refusal(f"field {number} of wire type {wire_type} at byte {start} is not ONNX")
        if number in seen and number not in _REPEATED:
            raise _refusal(f"field {number} is given twice, again at byte {start}")
        seen.add(number)
        value, payload = _varint(data, position, len(data))
        position = payload if wire_type == _VARINT else _end(payload, value, len(data))
        yield number, start, payload, position
    if position != len(data):
        raise _refusal(f"it has more than {MOST_FIELDS} fields")


def _entry(data: bytes, start: int, stop: int) -> tuple[str, str]:
    """Key and value of a metadata entry: one field 1, then at most one field 2."""
    found, position = ["", ""], start
    for expected in (1, 2):
        if expected == 2 and position == stop:
            break  # an empty value may be left out
        number, wire_type, position = _tag(data, position, stop)
        if (number, wire_type) != (expected, _BYTES):
            raise _refusal(f"the metadata entry at byte {start} is not one key and one value")
        length, position = _varint(data, position, stop)
        end = _end(position, length, stop)
        found[expected - 1] = _text(data[position:end], position)
        position = end
    if position != stop:
        raise _refusal(f"the metadata entry at byte {start} holds more than a key and a value")
    return found[0], found[1]


def _text(data: bytes, position: int) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise _refusal(f"the metadata at byte {position} is not UTF-8") from None


def _tag(data: bytes, position: int, limit: int) -> tuple[int, int, int]:
    tag, position = _varint(data, position, limit)
    return tag >> 3, tag & 7, position


def _varint(data: bytes, position: int, limit: int) -> tuple[int, int]:
    """A number in its shortest form, below 2^64, and where it ends."""
    value = 0
    for count in range(_LONGEST_VARINT):
        if position + count >= limit:
            raise _refusal("it ends in the middle of a field")
        byte = data[position + count]
        value |= (byte & 0x7F) << (7 * count)
        if byte < 0x80:
            if (byte == 0 and count > 0) or value >= 2**64:
                break
            return value, position + count + 1
    raise _refusal(f"the number at byte {position} is not in its shortest form")


def _end(start: int, length: int, limit: int) -> int:
    if length > limit - start:
        raise _refusal(f"the field at byte {start} has {length} bytes, {limit - start} are left")
    return start + length


def _encoded(key: str, value: str) -> bytes:
    """A metadata entry as a top-level field."""
    payload = b"".join(_field(number, text.encode()) for number, text in ((1, key), (2, value)))
    return _field(_METADATA, payload)


def _field(number: int, payload: bytes) -> bytes:
    return _shortest(number << 3 | _BYTES) + _shortest(len(payload)) + payload


def _shortest(value: int) -> bytes:
    found = bytearray()
    while value >= 0x80:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])


def _refusal(reason: str) -> VerificationError:
    return VerificationError(
        f"the file is not a plainly written ONNX file: {reason}; export it again"
    )
