"""`lipdeploy verify`: prove a file's bound from the file."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import click

from lipdeploy.cli.verdict import layer_table, summary_line
from lipdeploy.core.errors import VerificationError
from lipdeploy.export.verifier.verification import verify

HELP = """Prove from the ONNX file alone that its certificate holds.

Bounds the Lipschitz constant from the stored weights, checks that the head computes what the
contract says with that constant, and compares the engine with float64. Exit 0 when PASSED, 3 when
FAILED.

\b
Example: lipdeploy verify model.onnx
"""


@click.command(help=HELP)
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--frames", type=click.IntRange(1), default=12, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def command(model: Path, frames: int, as_json: bool) -> int:
    """Prove from the ONNX file alone that its certificate holds."""
    found = verify(model, frames)
    if as_json:
        record = dataclasses.asdict(found) | {"passed": found.passed}
        click.echo(json.dumps(record, indent=2, allow_nan=True))
    else:
        if found.layers:
            click.echo(layer_table(found.layers, found.lipschitz))
        for check in found.checks:
            click.echo(f"ok  {check}")
        click.echo(summary_line(found))
    return 0 if found.passed else VerificationError.exit_code
