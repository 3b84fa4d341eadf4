"""What is the same in TensorRT 10.3 to 11 and in TensorRT-RTX, and what is asked for by name.

The bindings are found by name and never imported by any other module, so everything here loads on
a machine without them, and next to either. Needs the standard library alone.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lipdeploy.core.errors import ArtefactError, InputError

PACKAGES = {"tensorrt": "TensorRT", "tensorrt-rtx": "TensorRT-RTX"}
"""Names of the flavours as the command line knows them, and as NVIDIA writes them."""

OLDEST = {"tensorrt": (10, 3), "tensorrt-rtx": (1, 4)}
INSTALL = "JetPack brings TensorRT; elsewhere `pip install tensorrt` or `pip install tensorrt-rtx`"

Report = Callable[[str, int, int], object]
"""A phase of the build, steps done and steps in all."""


@dataclass(frozen=True)
class TensorRt:
    """One flavour that can be imported here.

    Attributes:
        flavour: `tensorrt` or `tensorrt-rtx`.
        version: of the bindings, for example `10.16.1.11`.
        module: the bindings.
    """

    flavour: str
    version: str
    module: Any

    @property
    def title(self) -> str:
        """For messages, for example `TensorRT-RTX 1.7.1.116`."""
        return f"{PACKAGES[self.flavour]} {self.version}"

    @property
    def ahead_of_time(self) -> bool:
        """Whether it builds without a GPU; its plans are then finished where they are loaded."""
        return self.flavour == "tensorrt-rtx"


def installed_flavours() -> tuple[str, ...]:
    """The flavours whose bindings are here; nothing is imported."""
    return tuple(f for f in PACKAGES if importlib.util.find_spec(_module(f)) is not None)


def load_tensorrt(flavour: str | None = None) -> TensorRt:
    """Import the bindings of a flavour, or of the first that is installed.

    Raises:
        ArtefactError: not installed, cannot be loaded, or older than `OLDEST`.
        InputError: no flavour of this name.
    """
    if flavour is None:
        found = installed_flavours()
        if not found:
            raise ArtefactError(f"no TensorRT is installed here; {INSTALL}")
        flavour = found[0]
    if flavour not in PACKAGES:
        raise InputError(f"TensorRT flavour {flavour!r}; expected one of {', '.join(PACKAGES)}")
    try:
        module = importlib.import_module(_module(flavour))
        version = str(module.__version__)
    except (ImportError, OSError, AttributeError) as error:
        raise ArtefactError(f"{PACKAGES[flavour]} cannot be loaded ({error}); {INSTALL}") from error
    if _numbers(version) < OLDEST[flavour]:
        oldest = ".".join(map(str, OLDEST[flavour]))
        raise ArtefactError(
            f"{PACKAGES[flavour]} {version} is installed, {oldest} is the oldest that lipdeploy "
            f"knows; {INSTALL}"
        )
    return TensorRt(flavour, version, module)


def _module(flavour: str) -> str:
    return flavour.replace("-", "_")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:4])


def message_log(trt: TensorRt) -> tuple[Any, list[str]]:
    """A logger for the bindings, and the list where its warnings and errors end up."""
    base: Any = trt.module.ILogger  # known at run time only, so the classes are made there
    messages: list[str] = []

    def log(_: Any, severity: Any, message: str) -> None:
        if int(severity) <= int(base.Severity.ERROR):
            messages.append(" ".join(message.split()))

    return _subclass("MessageLog", base, {"log": log})(), messages


def progress_monitor(trt: TensorRt, report: Report) -> Any | None:
    """A monitor that reports the outermost phase of a build; None where the bindings have none."""
    base: Any = getattr(trt.module, "IProgressMonitor", None)
    if base is None:
        return None
    steps: dict[str, int] = {}

    def phase_start(_: Any, phase: str, parent: str | None, num_steps: int) -> None:
        if parent is None:
            steps[phase] = num_steps

    def step_complete(_: Any, phase: str, step: int) -> bool:
        if phase in steps:
            report(phase, step + 1, steps[phase])
        return True  # False would cancel the build

    def phase_finish(_: Any, phase: str) -> None:
        if phase in steps:
            report(phase, steps[phase], steps.pop(phase))

    methods = {f.__name__: f for f in (phase_start, step_complete, phase_finish)}
    return _subclass("Monitor", base, methods)()


def _subclass(name: str, base: Any, methods: dict[str, Any]) -> Any:
    """A class of the bindings with methods in Python; its constructor must be called by name."""

    def start(self: Any) -> None:
        base.__init__(self)  # super() would not reach the bindings' own constructor

    return type(name, (base,), {"__init__": start, **methods})
