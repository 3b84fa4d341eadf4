"""`lipdeploy inspect`: what a model file says of itself, and whether it was verified."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from lipdeploy.cli.json_text import json_text
from lipdeploy.cli.plain_text import printable
from lipdeploy.core.errors import VerificationError
from lipdeploy.core.figures import at_most
from lipdeploy.core.manifest import LEVEL_MEANING
from lipdeploy.core.record import signature_from_text
from lipdeploy.runtime.model_file import ModelFile, read_model

HELP = """Print what is inside an ONNX file of `lipdeploy export`.

Reads metadata and hash only and runs nothing: what is declared here is proved by `lipdeploy
verify`. A signature is shown, not checked; `lipdeploy verify --trust PUB.PEM` checks it.

\b
Example: lipdeploy inspect model.onnx
"""

DECLARED = "; as training found them, before rounding was subtracted: no level covers them"


@click.command(help=HELP)
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
def command(model: Path, as_json: bool) -> int:
    """Print what is inside an ONNX file."""
    file = read_model(model)
    click.echo(json_text(_fields(file)) if as_json else _text(file))
    return 0


def _fields(file: ModelFile) -> dict[str, Any]:
    manifest, standing = file.manifest, file.standing
    return {
        "model": file.name,
        "bytes": len(file.data),
        "content_sha256": file.content.sha256,
        **dataclasses.asdict(manifest),
        "record_valid": standing.valid,
        "record_doubt": standing.doubt or None,
        "record": None if standing.record is None else dataclasses.asdict(standing.record),
        "signed": standing.signature_text is not None,
        "signature_key": _signer(file),
    }


def _text(file: ModelFile) -> str:
    manifest, numerics, record = file.manifest, file.manifest.numerics, file.standing.record
    evidence = dict(numerics.evidence)
    engines = evidence.pop("engines", {})
    rows = {
        "file": f"{file.name}, {len(file.data) / 1e6:.2f} MB, content sha256 {file.content.sha256}",
        "classes": f"{len(manifest.class_names)}: {', '.join(manifest.class_names)}",
        "input": f"{manifest.height}x{manifest.width} (rows x columns), {manifest.norm} over "
        f"{manifest.domain}, {manifest.budgets} eps",
        "head": manifest.head,
        "bound": f"L <= {at_most(manifest.lipschitz, 8)}, {len(manifest.layers)} linear layers",
        "level": f"{numerics.level}: {LEVEL_MEANING[numerics.level]}",
        "precision": _precision(file),
        "slack": f"D = {numerics.slack:.3g} at {numerics.precision}; {_pairs(evidence)}",
        **_measured(engines),
        "training": _pairs(manifest.training),
        "metrics": f"{_pairs(manifest.metrics)}{DECLARED if manifest.metrics else ''}",
        "record": f"NOT VALID: the file {file.standing.doubt}; run `lipdeploy verify {file.name}`",
    }
    if file.standing.valid and record is not None:
        rows["record"] = (
            f"valid: verified {record.time} by lipdeploy {record.lipdeploy} with "
            f"{', '.join(record.engines)} on {record.frames} frames"
        )
    key = _signer(file)
    absent = "none" if file.standing.signature_text is None else "cannot be read"
    rows["signature"] = f"by key {key}, not checked here" if key else absent
    return "\n".join(f"{name:9}  {printable(text)}" for name, text in rows.items())


def _precision(file: ModelFile) -> str:
    """What the graph computes in, by a valid record; otherwise as declared."""
    record, declared = file.standing.record, file.manifest.numerics.precision
    if not file.standing.valid or record is None:
        return f"{declared}, as declared"
    found = (check.removeprefix("precision ") for check in record.checks)
    return next((text for text in found if text.startswith(declared)), declared)


def _signer(file: ModelFile) -> str | None:
    """The public key that the file names, in hex."""
    if file.standing.signature_text is None:
        return None
    try:
        return signature_from_text(file.standing.signature_text).key
    except VerificationError:
        return None


def _measured(engines: object) -> dict[str, str]:
    """A row for each engine of the evidence, in whatever form it is."""
    if not isinstance(engines, Mapping):
        return {"engines": str(engines)}
    return {
        f"engine {k}": f"{name}: {_pairs(figures) if isinstance(figures, Mapping) else figures}"
        for k, (name, figures) in enumerate(engines.items(), 1)
    }


def _pairs(found: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {_figure(value)}" for key, value in found.items()) or "-"


def _figure(value: object) -> object:
    """As people read it."""
    return f"{value:.4g}" if isinstance(value, float) else value
