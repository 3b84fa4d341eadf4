"""Processor, memory and GPU, as Linux tells them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from lipdeploy.runtime.doctor.check import Check
from lipdeploy.runtime.processor import features_named

_GIB = 2**30
_LITTLE_BYTES = 512 * 2**20
_SMI_S = 15.0


def hardware_checks(
    proc: Path = Path("/proc"), cgroup: Path = Path("/sys/fs/cgroup")
) -> list[Check]:
    """One line each."""
    return [
        cpu(_text(proc / "cpuinfo")),
        memory(_text(proc / "meminfo"), _limit(cgroup)),
        _gpu(proc),
    ]


def cpu(cpuinfo: str) -> Check:
    """Model, cores that this process may use, and vector instructions."""
    model = re.search(r"^(?:model name|Model|Hardware)\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    has = features_named(cpuinfo)
    cores = len(os.sched_getaffinity(0))
    name = " ".join(model[1].split()) if model else "unknown processor"
    vectors = ", ".join(has or []) or "no SIMD named"
    detail = f"{name}, {cores} core{'s' * (cores != 1)} usable; {vectors}"
    if has is not None and not has:
        return Check("cpu", "warn", f"{detail}: inference will be slow", "use a newer processor")
    return Check("cpu", "ok", detail)


def memory(meminfo: str, limit_bytes: int | None) -> Check:
    """What is there and what is free, the container's limit included."""
    values = {k: int(v) * 1024 for k, v in re.findall(r"^(\w+):\s+(\d+) kB", meminfo, re.MULTILINE)}
    total, free = values.get("MemTotal", 0), values.get("MemAvailable", 0)
    detail = f"{free / _GIB:.1f} of {total / _GIB:.1f} GiB available"
    if limit_bytes is not None and limit_bytes < total:
        detail += f", this container may use {limit_bytes / _GIB:.1f} GiB"
        free = min(free, limit_bytes)
    if total and free < _LITTLE_BYTES:
        return Check("memory", "warn", detail, "end other programs, or add swap")
    return Check("memory", "ok" if total else "info", detail if total else "unknown")


def _gpu(proc: Path) -> Check:
    if shutil.which("nvidia-smi"):
        return _nvidia_smi()
    driver = _text(proc / "driver/nvidia/version").splitlines()
    if driver:
        return Check("gpu", "warn", f"{driver[0]}, no nvidia-smi", "install the driver's tools")
    model = _text(proc / "device-tree/model").strip("\0\n ")
    if "NVIDIA" in model:
        return Check("gpu", "ok", f"integrated, {model}")
    return Check("gpu", "info", "no NVIDIA driver here; models run on the CPU")


def _nvidia_smi() -> Check:
    query = ["--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    try:
        done = subprocess.run(
            ["nvidia-smi", *query], capture_output=True, text=True, timeout=_SMI_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return Check("gpu", "warn", "nvidia-smi does not answer", "sudo modprobe nvidia; see dmesg")
    if done.returncode:
        said = (done.stdout + done.stderr).strip().splitlines()[:1] or ["nvidia-smi failed"]
        return Check("gpu", "warn", said[0], "sudo modprobe nvidia, or reinstall the driver")
    return Check("gpu", "ok", "; ".join(done.stdout.strip().splitlines()))


def _limit(cgroup: Path) -> int | None:
    """Memory limit of the container in bytes; None without one."""
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        text = _text(cgroup / name).strip()
        if text.isdigit():
            return int(text)
    return None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
