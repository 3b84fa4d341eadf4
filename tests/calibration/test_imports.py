"""Calibration and its command run where torch is not installed."""

from __future__ import annotations

import subprocess
import sys

IMPORT_ALL = """
import importlib, pkgutil, sys
sys.modules["torch"] = sys.modules["onnxscript"] = None  # importing either fails
import lipdeploy.calibration as room
for module in pkgutil.iter_modules(room.__path__, room.__name__ + "."):
    importlib.import_module(module.name)
    print(module.name)
importlib.import_module("lipdeploy.cli.calibrate")
"""


def test_the_room_imports_without_torch() -> None:
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "lipdeploy.calibration.derivatives" in done.stdout
