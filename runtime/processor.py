"""What the processor's vector units can do: engines choose their kernels by it."""

from __future__ import annotations

import platform
import re
from pathlib import Path

# What decides how convolutions are computed, by the names of /proc/cpuinfo.
_FEATURES = (
    "avx2",
    "fma",
    "avx512f",
    "avx512_vnni",
    "avx512_bf16",
    "avx512_fp16",
    "avx_vnni",
    "avx_vnni_int8",
    "amx_bf16",
    "amx_fp16",
    "amx_int8",
    "asimd",
    "asimddp",
    "asimdhp",
    "bf16",
    "i8mm",
    "sve",
    "sve2",
    "sme",
    "sme2",
)


def features_named(cpuinfo: str) -> list[str] | None:
    """Vector instructions of the text of /proc/cpuinfo; None where it has no such line.

    >>> features_named("flags : fpu avx2 fma")
    ['avx2', 'fma']
    """
    flags = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    return [name for name in _FEATURES if name in flags[1].split()] if flags else None


def processor_kind(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Architecture and vector instructions of this machine, for example `x86_64 avx2 fma`.

    Two processors of one kind run the same kernels of an engine.
    """
    try:
        names = features_named(cpuinfo.read_text(errors="replace"))
    except OSError:
        names = None
    return " ".join([platform.machine(), *(["unknown"] if names is None else names)])
