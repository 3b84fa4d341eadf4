"""Whether an ONNX file builds with a TensorRT, tried in a process of its own.

The other process may be another Python with another TensorRT in its environment, where lipdeploy is
not installed: it gets these sources by path, and needs the bindings and the standard library alone.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lipdeploy.core.errors import ArtefactError, InputError, LipdeployError
from lipdeploy.runtime.tensorrt_api import INSTALL, installed_flavours, load_tensorrt
from lipdeploy.runtime.tensorrt_build import BuildOptions, build_plan

LIMIT_S = 1800.0

_CHILD = """
import sys, types
package = types.ModuleType("lipdeploy")
package.__path__ = [sys.argv[1]]
sys.modules["lipdeploy"] = package
from lipdeploy.runtime import tensorrt_check
tensorrt_check.answer(*sys.argv[2:])
"""


@dataclass(frozen=True)
class Finding:
    """One build.

    Attributes:
        engine: name and version of TensorRT, or of the interpreter where it could not be asked.
        plan_bytes: size of the plan; 0 where there is none.
        seconds: of the build, on this machine.
        error: why it does not build; empty if it does.
    """

    engine: str
    plan_bytes: int = 0
    seconds: float = 0.0
    error: str = ""

    @property
    def builds(self) -> bool:
        """Whether there is a plan."""
        return not self.error


def check_builds(
    data: bytes, name: str, interpreters: Sequence[Path] = (), workspace_mb: int = 512
) -> tuple[Finding, ...]:
    """Build a file with every TensorRT of some Python interpreters; keeps no plan.

    Args:
        data: an ONNX file.
        name: of the file, for messages.
        interpreters: `python` of environments with TensorRT; none: the one that runs.
        workspace_mb: as for a build.

    Raises:
        ArtefactError: no TensorRT is installed in an interpreter.
        InputError: an interpreter is not there.
    """
    found: list[Finding] = []
    for python in interpreters or (Path(sys.executable),):
        told = _asked(python, b"", "flavours")
        if told.get("error"):
            raise ArtefactError(f"{python} cannot be asked for its TensorRT: {told['error']}")
        flavours = told.get("flavours", [])
        if not flavours:
            raise ArtefactError(f"no TensorRT is installed in {python}; {INSTALL}")
        for flavour in flavours:
            told = _asked(python, data, "build", flavour, name, str(workspace_mb))
            found.append(
                Finding(
                    str(told.get("engine", f"{flavour} of {python}")),
                    int(told.get("plan_bytes", 0)),
                    float(told.get("seconds", 0.0)),
                    str(told.get("error", "")),
                )
            )
    return tuple(found)


def _asked(python: Path, data: bytes, *arguments: str) -> dict[str, Any]:
    """What `answer` says in the other process; it may crash, also after it answered."""
    command = [str(python), "-I", "-c", _CHILD, _package_folder(), *arguments]
    try:
        done = subprocess.run(
            command, input=data, capture_output=True, timeout=LIMIT_S, check=False
        )
    except OSError as error:
        raise InputError(f"--python {python} cannot be run ({error.strerror})") from error
    except subprocess.TimeoutExpired:
        return {"error": f"no plan within {LIMIT_S:.0f} s"}
    for line in reversed(done.stdout.decode(errors="replace").splitlines()):
        with contextlib.suppress(ValueError):  # TensorRT writes lines of its own
            told: Any = json.loads(line)
            if isinstance(told, dict):
                return told
    last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
    return {"error": f"its process ended with code {done.returncode} ({' '.join(last)[:200]})"}


def _package_folder() -> str:
    """Where these sources lie; an editable install has more folders than this one."""
    return str(Path(__file__).parents[1])


def answer(what: str, flavour: str = "", name: str = "", workspace_mb: str = "512") -> None:
    """The other process: writes one line of JSON to standard output."""
    if what == "flavours":
        told: dict[str, Any] = {"flavours": list(installed_flavours())}
    else:
        told = _built(flavour, sys.stdin.buffer.read(), name, int(workspace_mb))
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


def _built(flavour: str, data: bytes, name: str, workspace_mb: int) -> dict[str, Any]:
    told: dict[str, Any] = {}
    try:
        trt = load_tensorrt(flavour)
        told["engine"] = trt.title
        if not trt.ahead_of_time:
            from lipdeploy.runtime.tensorrt_device import find_gpu

            find_gpu()  # its builder breaks without one
        start = time.perf_counter()
        plan = build_plan(trt, data, name, BuildOptions(workspace_mb)).plan
        told |= {"plan_bytes": len(plan), "seconds": time.perf_counter() - start}
    except LipdeployError as error:
        told["error"] = str(error)
    return told
