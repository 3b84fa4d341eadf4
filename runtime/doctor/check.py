"""One thing that was looked at."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from typing import Any, Literal

Status = Literal["ok", "info", "warn", "fail"]
_PROBE_S = 60.0


@dataclass(frozen=True)
class Check:
    """A line of the report.

    Attributes:
        name: what was looked at.
        status: `ok`; `info`, absent but not needed; `warn`, works with a limit; `fail`.
        detail: what was found.
        fix: the command, or the sentence, that changes it; empty where nothing has to.
    """

    name: str
    status: Status
    detail: str
    fix: str = ""


def probed(code: str, *args: str, timeout_s: float = _PROBE_S) -> dict[str, Any]:
    """What a program in a process of its own prints as JSON; a crash there is a finding here.

    Returns:
        The object; or `error` with the last line that it wrote, or the signal that ended it.
    """
    command = [sys.executable, "-c", code, *args]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired:
        return {"error": f"no answer within {timeout_s:g} s"}
    if done.returncode < 0:
        return {"error": f"it crashed with signal {-done.returncode}"}
    try:
        found = json.loads(done.stdout.strip().splitlines()[-1])
    except (ValueError, IndexError):
        last = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        return {"error": last[0][:300]}
    return found if isinstance(found, dict) else {"error": "it answered otherwise than expected"}
