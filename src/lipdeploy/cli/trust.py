"""The options by which a user says what a model must show before it may claim anything."""

from __future__ import annotations

from pathlib import Path

import click

UNVERIFIED = click.option(
    "--unverified", is_flag=True, help="Run a model that was not verified; claims nothing."
)
TRUST = click.option(
    "--trust",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="PUB.PEM",
    help="Ed25519 public key; one of those given must have signed the model. Repeatable.",
)
