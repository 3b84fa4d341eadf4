"""Broken and altered files against `verify`: python -m tests.export.fuzz --count 100000.

Runs in its own process, so that a crash of a parser or a hang is a failure and not the end of the
test run. A mutant may pass only if it computes and claims what the original does.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import Message
from onnx import helper

from lipdeploy.export.verifier.verification import verify
from tests.export.tiny_file import tiny_file


def flip_bits(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice([1, 1, 1, 2, 8])):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def cut(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data))]


def remove_part(data: bytes, rng: random.Random) -> bytes:
    start = rng.randrange(len(data))
    return data[:start] + data[start + rng.randrange(1, 64) :]


def repeat_part(data: bytes, rng: random.Random) -> bytes:
    start = rng.randrange(len(data))
    stop = start + rng.randrange(1, 256)
    return data[:stop] + data[start:stop] + data[stop:]


def insert_noise(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + rng.randbytes(rng.randrange(1, 16)) + data[at:]


def change_field(data: bytes, rng: random.Random) -> bytes:
    """A well-formed file with one field of one message somewhere changed, removed or doubled."""
    model = onnx.load_model_from_string(data)
    messages = [(m, f) for m in _messages(model) for f, _ in m.ListFields()]
    message, field = rng.choice(messages)
    value = getattr(message, field.name)
    if hasattr(value, "append") or hasattr(value, "add"):
        _change_repeated(value, rng)
    elif isinstance(value, Message) or rng.random() < 0.2:
        message.ClearField(field.name)
    elif isinstance(value, bytes):
        setattr(message, field.name, flip_bits(value, rng) if value else b"x")
    elif isinstance(value, str):
        setattr(message, field.name, rng.choice(["", value + "x", "logits", "eps", value[1:]]))
    else:
        _change_number(message, field.name, value, rng)
    return bytes(model.SerializeToString())


def _change_number(message: Message, name: str, value: Any, rng: random.Random) -> None:
    choices = [0, 1, 2, 7, -1, 255, 2**31 - 1, value + 1, value - 1, value * 2]
    try:
        setattr(message, name, type(value)(rng.choice(choices)))
    except ValueError:  # an enumeration takes no such number
        message.ClearField(name)


def _change_repeated(value: Any, rng: random.Random) -> None:
    at = rng.randrange(len(value))
    if rng.random() < 0.4:
        del value[at]
    elif isinstance(value[at], Message):
        value.add().CopyFrom(value[rng.randrange(len(value))])
    elif isinstance(value[at], (str, bytes)):
        value[at] = value[rng.randrange(len(value))]
    else:
        value[at] = type(value[at])(rng.choice([0, 1, -1, 2, 10**6, value[at] + 1]))


def _messages(message: Message) -> list[Message]:
    found = [message]
    for field, value in message.ListFields():
        if field.message_type:
            repeated = value if hasattr(value, "add") else [value]
            found += [inner for each in repeated for inner in _messages(each)]
    return found


MUTATIONS: list[Callable[[bytes, random.Random], bytes]] = [
    flip_bits,
    cut,
    remove_part,
    repeat_part,
    insert_noise,
    change_field,
    change_field,
]


def meaning(data: bytes) -> bytes:
    """All of a file that decides what it computes and claims; names and remarks are left out."""
    model = onnx.load_model_from_string(data)
    kept = onnx.ModelProto()
    kept.CopyFrom(model)
    for field in ("producer_name", "producer_version", "doc_string", "domain", "model_version"):
        kept.ClearField(field)
    kept.ClearField("ir_version")
    for part in (kept.graph, *kept.graph.node, *kept.graph.initializer):
        part.ClearField("doc_string")
    for part in (*kept.graph.input, *kept.graph.output, *kept.graph.value_info):
        part.ClearField("doc_string")
    for named in (kept.graph, *kept.graph.node):
        named.ClearField("name")
    del kept.graph.value_info[:]
    claims = {p.key: p.value for p in kept.metadata_props if p.key.startswith("lipdeploy.")}
    del kept.metadata_props[:]
    helper.set_model_props(kept, dict(sorted(claims.items())))
    kept.DiscardUnknownFields()
    return bytes(kept.SerializeToString(deterministic=True))


def run(count: int, seconds: float, seed: int) -> tuple[Counter[str], list[str]]:
    """Outcomes of the mutants, and what went wrong."""
    base = tiny_file().SerializeToString()
    expected, outcomes, wrong = meaning(base), Counter[str](), []
    stop = time.monotonic() + seconds
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mutant.onnx"
        for index in range(count):
            if time.monotonic() > stop:
                break
            rng = random.Random(f"{seed}/{index}")
            mutation = rng.choice(MUTATIONS)
            data = mutation(base, rng)
            path.write_bytes(data)
            started = time.monotonic()
            found = verify(path, frames=1)
            took = time.monotonic() - started
            outcomes["passed" if found.passed else "refused"] += 1
            place = f"{mutation.__name__} {seed}/{index}"
            if found.passed and meaning(data) != expected:
                wrong.append(f"{place}: accepted although it means something else")
            if took > 10:
                wrong.append(f"{place}: took {took:.0f} s")
    return outcomes, wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=1800)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    outcomes, wrong = run(args.count, args.seconds, args.seed)
    sys.stdout.write(f"{dict(outcomes)}\n" + "".join(f"{line}\n" for line in wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
