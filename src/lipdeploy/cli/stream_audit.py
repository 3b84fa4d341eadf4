"""The drift alarm of `lipdeploy stream --audit-every`: the verifier's float64 beside the stream."""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np
import numpy.typing as npt

from lipdeploy.core.errors import InputError
from lipdeploy.runtime.drift import DriftMonitor
from lipdeploy.runtime.model_file import read_model
from lipdeploy.runtime.session import Prediction, Session

NEEDED = ("onnx", "threadpoolctl")


def drift_monitor(session: Session, model: Path, every: int) -> DriftMonitor:
    """A monitor that compares what a session predicts with the same file in float64.

    Raises:
        InputError: the verifier is not installed, or the file changed since it was opened.
        VerificationError: the file cannot be replayed in float64.
    """
    try:
        from lipdeploy.export.verifier.rounding.comparison import compared
        from lipdeploy.export.verifier.rounding.reference import Reference
    except ModuleNotFoundError as error:
        raise audit_unavailable("--audit-every", error) from error
    file = read_model(model)
    if file.content.sha256 != session.standing.content_sha256:
        raise InputError(f"model {model} changed while it was opened; start again")
    reference = Reference(file)

    def check(image: npt.NDArray[np.uint8], prediction: Prediction) -> str:
        found = compared(reference, image, prediction)
        return str(found) if found else ""

    return DriftMonitor(check, every, lambda line: click.echo(line, err=True))


def audit_unavailable(option: str, error: ModuleNotFoundError) -> InputError:
    """One line for an installation without the verifier's libraries; others pass."""
    if str(error.name).partition(".")[0] not in NEEDED:
        raise error
    return InputError(
        f"{option} needs {' and '.join(NEEDED)}, which are not installed; "
        f"run `pip install {' '.join(NEEDED)}` (torch is not needed)"
    )
