"""A sample of what `python -m tests.export.fuzz` does a hundred thousand times."""

import subprocess
import sys
from pathlib import Path

import onnx

from lipdeploy.export.verifier.verification import verify
from tests.export.tiny_file import tiny_file

ROOT = Path(__file__).parents[2]


def test_the_original_passes(tmp_path: Path) -> None:
    for head in ("threshold", "sort"):
        path = tmp_path / f"{head}.onnx"
        onnx.save_model(tiny_file(head), str(path))
        assert verify(path, frames=1).failure is None


def test_no_mutant_crashes_hangs_or_is_accepted() -> None:
    """In a process of its own: a crash of a parser is a failure here, not the end of the run."""
    command = [sys.executable, "-m", "tests.export.fuzz", "--count", "1500", "--seed", "7"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=550)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "'refused': 1" in done.stdout
