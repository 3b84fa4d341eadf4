"""Times of several calls, taken in turns, so that all of them see the same machine."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

SETTLE_S = 0.02  # threads of the call before stop spinning


@dataclass
class Times:
    """What one contestant took.

    Attributes:
        wall_ms: time of each call.
        cpu_ms: processor time of each call, over all threads of this process.
    """

    wall_ms: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)

    @property
    def median_ms(self) -> float:
        """Median time of a call."""
        return statistics.median(self.wall_ms)

    @property
    def median_cpu_ms(self) -> float:
        """Median processor time: what the figures come to on a machine with other work."""
        return statistics.median(self.cpu_ms)


def in_turns(
    calls: Mapping[str, Callable[[], object]], rounds: Iterable[object]
) -> dict[str, Times]:
    """Call each once a round, after a call that is not counted: caches are warm for everyone.

    Args:
        calls: by name.
        rounds: as many rounds as it has items; one that counts them can show progress.
    """
    found = {name: Times() for name in calls}
    for _ in rounds:
        for name, call in calls.items():
            time.sleep(SETTLE_S)
            call()
            cpu_s, wall_s = time.process_time(), time.perf_counter()
            call()
            found[name].wall_ms.append((time.perf_counter() - wall_s) * 1e3)
            found[name].cpu_ms.append((time.process_time() - cpu_s) * 1e3)
    return found


def machine() -> dict[str, object]:
    """Where figures were taken: processor, cores that may be used, system, load.

    A load above 0 before the run is other work: ratios of processor time then say more than
    those of wall-clock time.
    """
    return {
        "processor": _processor(Path("/proc/cpuinfo")),
        "cores": len(os.sched_getaffinity(0)),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "load_before": round(os.getloadavg()[0], 2),
    }


def _processor(cpuinfo: Path) -> str:
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2] for line in lines if line.startswith(("model name", "Model"))]
    return " ".join(names[0].split()) if names else platform.machine()
