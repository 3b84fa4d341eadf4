"""A sample of what `python -m tests.export.fuzz` does a hundred thousand times."""

import ast
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
    command = [sys.executable, "-m", "tests.export.fuzz", "--count", "1500", "--seed", "7"]
    done = subprocess.run(
        command, check=False, cwd=ROOT, capture_output=True, text=True, timeout=550
    )
    assert done.returncode == 0, done.stdout + done.stderr
    counts = ast.literal_eval(done.stdout.splitlines()[0])
    assert sum(counts.values()) == 1500
    assert counts["refused"] > 1000
    assert counts["aborted the library"] == 1  # 7/268, a Split with too few parts
