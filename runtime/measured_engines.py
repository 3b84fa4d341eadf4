"""Which engines the slack D of a file was measured on: a level holds on these alone.

Another engine sums in another order, fuses other operators or computes in another precision, so
what was measured on one says nothing of the next. Two builds of one engine on one kind of device
count as the same family, for example `onnxruntime CPU`; the stream's summary names both versions
where they differ.

In float32 the builds of a family round alike, up to the order of sums. In less they do not: on one
processor float16 is rounded between operators, on another within every sum, and INT8 saturates
where instructions are missing. There a level asks for a verification of this file by this very
engine on this kind of processor, however short: `lipdeploy verify` on the device.
"""

from __future__ import annotations

from collections.abc import Mapping

from lipdeploy.core.manifest import Numerics
from lipdeploy.core.record import Record
from lipdeploy.runtime.processor import processor_kind

RECORD_FRAMES = 3000
"""Frames of a record that stand for an engine: 1,000 generated ones, 2,000 against its rounding."""

UNMEASURED = "was not measured on"
UNASKED = "is bounded for"
UNTRIED = "was not verified with"
_FLAGS = {"onnxruntime GPU": "onnxruntime-cuda"}  # where --engine is not the family's first word


def family(engine: str) -> str:
    """Name and device of an engine without its version.

    >>> family("onnxruntime 1.32.0 CPU")
    'onnxruntime CPU'
    """
    words = engine.split()
    return f"{words[0]} {words[-1]}" if words else ""


def measured_engines(numerics: Numerics, record: Record | None = None) -> tuple[str, ...]:
    """The engines that vouch for D: those of the evidence, then those of a long verification.

    Evidence names them under `engines`; files of earlier versions name one under `engine`.

    Args:
        numerics: of the file.
        record: of a verification that passed; counts where it took enough frames for each engine.
    """
    found = _named(numerics)
    if record is not None and record.frames >= RECORD_FRAMES * len(record.engines):
        found += record.engines
    return tuple(dict.fromkeys(name for name in found if name.strip()))


def measured_as(engine: str, numerics: Numerics, record: Record | None = None) -> str:
    """`engine` itself where it was measured, else one of its family; empty if there is none.

    Level `bounded` rests on how an engine sums, which was asked of one version on one kind of
    processor: another has other kernels.
    """
    found = measured_engines(numerics, record)
    if numerics.level == "bounded":
        asked = numerics.evidence.get("processor") == processor_kind()
        return engine if asked and engine in _named(numerics) else ""
    same = (name for name in found if family(name) == family(engine))
    return engine if engine in found else next(same, "")


def processor_check() -> str:
    """What a record says of the processor that the engines ran on, among its checks."""
    return f"processor {processor_kind()}"


def tried_as(engine: str, numerics: Numerics, record: Record | None) -> bool:
    """Whether an engine was compared with float64 on such a processor, where that matters."""
    if numerics.precision == "float32":
        return True
    return record is not None and engine in record.engines and processor_check() in record.checks


def doubt_on(engine: str, numerics: Numerics, record: Record | None = None) -> str:
    """Why the level does not hold on an engine, after the file's name; empty if it does."""
    if numerics.level == "none":
        return ""
    if measured_as(engine, numerics, record):
        if tried_as(engine, numerics, record):
            return ""
        where = f"{engine} on {processor_kind()}"
        return f"{UNTRIED} {where}, which may round {numerics.precision} otherwise"
    if numerics.level == "bounded":
        where = f"{', '.join(_named(numerics))} on {numerics.evidence.get('processor')}"
        return f"{UNASKED} {where}, this is {engine} on {processor_kind()}"
    named = sorted({family(name) for name in measured_engines(numerics, record)})
    return f"{UNMEASURED} {family(engine)}, only on {', '.join(named) or 'no engine at all'}"


def remedy(doubt: str, engine: str, model: str) -> str:
    """The command that a doubt calls for."""
    if doubt.startswith(UNASKED):
        return "export or calibrate it here with --level bounded"
    if doubt.startswith(UNTRIED):
        return f"run `lipdeploy verify {model}` on this device"
    if not doubt.startswith(UNMEASURED):
        return f"run `lipdeploy verify {model}`"
    words = engine.split() or [""]
    flag = _FLAGS.get(family(engine), words[0])
    return f"measure it with `lipdeploy verify --engine {flag} --frames 1000 {model}`"


def _named(numerics: Numerics) -> list[str]:
    named = numerics.evidence.get("engines", [numerics.evidence.get("engine")])
    return [name for name in named if isinstance(name, str)] if _is_listing(named) else []


def _is_listing(named: object) -> bool:
    return isinstance(named, (Mapping, list, tuple))
