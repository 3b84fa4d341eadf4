"""Broken and altered files against `verify`: python -m tests.export.fuzz --count 100000.

Runs in processes of its own: some files abort the onnx library, and then `verify`, which isolates
it, has to refuse them. A mutant may pass only if it means what the original does, or if its
certificate is true all the same.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import Message
from onnx import helper

from lipdeploy.core.manifest import manifest_from_metadata
from lipdeploy.export.verifier.graph import Graph
from lipdeploy.export.verifier.head_check import check_head
from lipdeploy.export.verifier.replay import Replay
from lipdeploy.export.verifier.verification import verify
from tests.export.tiny_file import SLACK, tiny_file


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


def truthful(data: bytes) -> bool:
    """Whether what a mutant claims holds: the exact norm of its linear trunk, and a fitting head.

    Another network with a true certificate is no forgery: `verify` proves certificates, and the
    record and its signature tell files apart.
    """
    model = onnx.load_model_from_string(data)
    graph = Graph(model)
    manifest = manifest_from_metadata({p.key: p.value for p in model.metadata_props})
    check_head(graph, manifest)
    replay, size = Replay(graph), (manifest.height, manifest.width, 3)
    origin = replay(np.zeros(size, np.uint8))
    units = (255 * np.eye(int(np.prod(size)), dtype=np.uint8)).reshape(-1, *size)
    columns = np.stack([(replay(unit) - origin).ravel() for unit in units])
    exact = float(np.linalg.norm(columns, 2))
    return exact <= manifest.lipschitz and manifest.numerics.slack >= SLACK


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


@dataclass
class Outcome:
    """What became of the mutants, and what went wrong."""

    counts: Counter[str]
    wrong: list[str]


def run(start: int, count: int, seconds: float, seed: int, told: Callable[[str], object]) -> None:
    """Verify mutants in this process; tells `INDEX passed|refused|wrong REASON` of each."""
    base = tiny_file().SerializeToString()
    expected, stop = meaning(base), time.monotonic() + seconds
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mutant.onnx"
        for index in range(start, count):
            if time.monotonic() > stop:
                break
            told(f"{index} started")
            data = mutant(base, seed, index)
            path.write_bytes(data)
            started = time.monotonic()
            found = verify(path, frames=1, isolated=False, engines=("onnxruntime",))
            if found.passed and meaning(data) != expected and not truthful(data):
                told(f"{index} wrong accepted although its certificate is false")
            elif time.monotonic() - started > 20:
                told(f"{index} wrong took {time.monotonic() - started:.0f} s")
            else:
                told(f"{index} {'passed' if found.passed else 'refused'}")


def mutant(base: bytes, seed: int, index: int) -> bytes:
    """The same bytes for the same seed and index."""
    rng = random.Random(f"{seed}/{index}")
    return rng.choice(MUTATIONS)(base, rng)


def supervise(count: int, seconds: float, seed: int) -> Outcome:
    """Run in child processes; where one dies, `verify` itself has to survive that file."""
    outcome, start, stop = Outcome(Counter(), []), 0, time.monotonic() + seconds
    while start < count and time.monotonic() < stop:
        left = str(stop - time.monotonic())
        child = [sys.executable, "-m", "tests.export.fuzz", "--child", str(start)]
        limits = ["--count", str(count), "--seconds", left, "--seed", str(seed)]
        done = subprocess.run([*child, *limits], check=False, capture_output=True, text=True)
        last = _tell(done.stdout.splitlines(), outcome)
        if done.returncode == 0:
            break
        outcome.counts["aborted the library"] += 1
        if _accepted_or_dead(mutant(tiny_file().SerializeToString(), seed, last)):
            outcome.wrong.append(f"{last}: verify does not survive or accepts it")
        start = last + 1
    return outcome


def _tell(lines: list[str], outcome: Outcome) -> int:
    """Count what a child told; the last index it started."""
    last = -1
    for line in lines:
        index, what, *reason = line.split(" ", 2)
        last = int(index)
        if what == "wrong":
            outcome.wrong.append(f"{index}: {reason[0]}")
        elif what != "started":
            outcome.counts[what] += 1
    return last


def _accepted_or_dead(data: bytes) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mutant.onnx"
        path.write_bytes(data)
        command = [sys.executable, "-m", "lipdeploy", "verify", "--no-write", str(path)]
        return subprocess.run(command, check=False, capture_output=True).returncode != 3


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=3600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--child", type=int, metavar="START", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child is not None:
        run(args.child, args.count, args.seconds, args.seed, _line)
        return 0
    outcome = supervise(args.count, args.seconds, args.seed)
    _line(str(dict(outcome.counts)))
    for line in outcome.wrong:
        _line(f"{args.seed}/{line}")
    return 1 if outcome.wrong else 0


def _line(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
