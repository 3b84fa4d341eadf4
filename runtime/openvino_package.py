"""The package OpenVINO, without its reports to its maker.

`import openvino` sends an event to Google Analytics and keeps an identifier in the home folder,
unless the package openvino_telemetry is absent; then it takes a stub of its own. Nothing that runs
on a device of ours reports to anyone, nor waits at exit for a network that is not there.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

_REPORTS = "openvino_telemetry"

if "openvino" not in sys.modules:  # else someone else's program decided already
    sys.modules.setdefault(_REPORTS, None)  # type: ignore[arg-type]

openvino: Any = importlib.import_module("openvino")
