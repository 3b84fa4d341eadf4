"""A file meets the ONNX library in a process of its own first: some files abort it.

The checker and the shape inference of onnx are C++ with assertions; an altered attribute is enough
to end the process (a `Split` with fewer parts than outputs, onnx 1.23). What survives here is safe
to read again in the calling process, which reports ordinary errors itself.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import onnx

from lipdeploy.core.errors import VerificationError

LIMIT_S = 120.0


SURVIVED = b"survived"
_CHILD = """
import importlib, sys
sys.path[:] = {paths!r}
importlib.import_module({module!r}).read_all(sys.stdin.buffer.read())
sys.stdout.write("survived")
"""


def check_survives(data: bytes) -> None:
    """Parse, check and infer the shapes of a file in a child process.

    Raises:
        VerificationError: the library ends its process or does not come to an end.
    """
    # -I: a folder of downloads may hold an onnx.py; only what this process imports from counts.
    paths = [path for path in sys.path if path and Path(path).is_absolute()]
    command = [sys.executable, "-I", "-c", _CHILD.format(paths=paths, module=__name__)]
    try:
        done = subprocess.run(
            command, input=data, check=False, capture_output=True, timeout=LIMIT_S
        )
    except subprocess.TimeoutExpired as error:
        raise VerificationError(
            f"the ONNX graph is malformed: the onnx library reads it for over {LIMIT_S:.0f} s"
        ) from error
    if done.returncode != 0 or done.stdout.strip() != SURVIVED:
        last = (done.stderr.decode(errors="replace").strip().splitlines() or [""])[-1]
        raise VerificationError(
            f"the ONNX graph is malformed: the onnx library breaks on it ({last[-120:]})"
        )


def read_all(data: bytes) -> None:
    """All that C++ of onnx does with a file; what it merely refuses is no concern here."""
    try:
        model = onnx.load_model_from_string(data)
        onnx.checker.check_model(model, full_check=True)
        onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    except Exception:
        pass
