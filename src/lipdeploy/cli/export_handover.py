"""`lipdeploy export --for NAME`: files for other people's servers, beside the model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from lipdeploy.export.handover.target import hand_over, subject_of
from lipdeploy.export.handover.targets import TARGETS


def write_handover(model: Path, names: Sequence[str], folder: Path) -> None:
    """Write `MODEL-NAME/` into a folder for every name, and say so.

    Raises:
        InputError: a folder is there already.
        VerificationError: the file is no lipdeploy model.
    """
    subject = subject_of(model)
    for name in dict.fromkeys(names):
        target = folder / f"{subject.name}-{name}"
        count = len(hand_over(subject, TARGETS[name], target))
        click.echo(f"{name:10} {count} files in {target} (read its README.md)")
    if subject.level == "none":
        click.echo("level      none: the files claim nothing; run `lipdeploy verify` first")
