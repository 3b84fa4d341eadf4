"""Which engines the slack D of a file was measured on: a level holds on these alone.

Another engine sums in another order, fuses other operators or computes in another precision, so
what was measured on one says nothing of the next. Two builds of one engine on one kind of device
count as the same family, for example `onnxruntime CPU`; the stream's summary names both versions
where they differ.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping

from lipdeploy.core.manifest import Numerics
from lipdeploy.core.record import Record

RECORD_FRAMES = 3000
"""Frames of a record that stand for an engine: 1,000 generated ones, 2,000 against its rounding."""

UNMEASURED = "was not measured on"
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

    Evidence names them under `engines`; files of earlier versions name one under `engine`. A level
    that is derived for sums in any order holds wherever nothing but such sums is computed.

    Args:
        numerics: of the file.
        record: of a verification that passed; counts where it took enough frames for each engine.
    """
    evidence = numerics.evidence
    named = evidence.get("engines", [evidence.get("engine")])
    found = [name for name in named if isinstance(name, str)] if _is_listing(named) else []
    if numerics.level == "bounded" and evidence.get("summation") == "any order":
        found += _plain_sums()
    if record is not None and record.frames >= RECORD_FRAMES * len(record.engines):
        found += record.engines
    return tuple(dict.fromkeys(name for name in found if name.strip()))


def measured_as(engine: str, numerics: Numerics, record: Record | None = None) -> str:
    """`engine` itself where it was measured, else one of its family; empty if there is none."""
    found = measured_engines(numerics, record)
    same = (name for name in found if family(name) == family(engine))
    return engine if engine in found else next(same, "")


def doubt_on(engine: str, numerics: Numerics, record: Record | None = None) -> str:
    """Why the level does not hold on an engine, after the file's name; empty if it does."""
    if numerics.level == "none" or measured_as(engine, numerics, record):
        return ""
    named = sorted({family(name) for name in measured_engines(numerics, record)})
    return f"{UNMEASURED} {family(engine)}, only on {', '.join(named) or 'no engine at all'}"


def remedy(doubt: str, engine: str, model: str) -> str:
    """The command that a doubt calls for."""
    if not doubt.startswith(UNMEASURED):
        return f"run `lipdeploy verify {model}`"
    words = engine.split() or [""]
    flag = _FLAGS.get(family(engine), words[0])
    return f"measure it with `lipdeploy verify --engine {flag} --frames 1000 {model}`"


def _is_listing(named: object) -> bool:
    return isinstance(named, (Mapping, list, tuple))


def _plain_sums() -> list[str]:
    """Engines whose convolutions are sums of products, never Winograd's or a Fourier transform's.

    Measured on x86-64 alone: on Arm, OpenVINO calls a library that also knows Winograd.
    """
    direct = ["onnxruntime CPU"]
    return [*direct, "openvino CPU"] if platform.machine() in ("x86_64", "AMD64") else direct
