"""`lipdeploy export --for NAME`: files for other people's servers, beside the model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from lipdeploy.core.errors import InputError
from lipdeploy.export.handover.target import check_free, hand_over, subject_of
from lipdeploy.export.handover.targets import TARGETS


def check_handover(model: Path, names: Sequence[str], folder: Path) -> None:
    """All folders must be free before anything takes time or is written.

    Raises:
        InputError: one is not, or `folder` is a file.
    """
    if folder.is_file() or folder.suffix == ".onnx":
        raise InputError(f"{folder} is not a folder; name one, or none to write beside {model}")
    for name in names:
        check_free(folder / f"{model.stem}-{name}")


def write_handover(model: Path, names: Sequence[str], folder: Path) -> None:
    """Write `MODEL-NAME/` into a folder for every name, and say so.

    Raises:
        InputError: a folder is there already.
        VerificationError: the file is no lipdeploy model.
    """
    check_handover(model, names, folder)
    subject = subject_of(model)
    for name in dict.fromkeys(names):
        target = folder / f"{subject.name}-{name}"
        count = len(hand_over(subject, TARGETS[name], target))
        click.echo(f"{name:10} {count} files in {target} (read its README.md)")
    if subject.level == "none":
        click.echo("level      none: the files claim nothing; run `lipdeploy verify` first")
