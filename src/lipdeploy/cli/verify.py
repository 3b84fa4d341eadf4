"""`lipdeploy verify`: prove a file's bound from the file, and record that it was proved."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from lipdeploy.cli.engine_option import ENGINES
from lipdeploy.cli.json_text import json_text
from lipdeploy.cli.plain_text import printable
from lipdeploy.cli.trust import TRUST
from lipdeploy.cli.verdict import engine_table, layer_table, rounding_table, summary_line
from lipdeploy.core.dataset import load_dataset, read_image
from lipdeploy.core.errors import InputError, LipdeployError, VerificationError
from lipdeploy.core.figures import at_most
from lipdeploy.core.record import Standing
from lipdeploy.core.resize import resized
from lipdeploy.export.verifier.parity import Frame
from lipdeploy.export.verifier.record_file import Sign, keep_record
from lipdeploy.export.verifier.verification import Verification, verify
from lipdeploy.runtime.model_file import read_model
from lipdeploy.runtime.session import check_trust, engine_module, is_plan

HELP = """Prove from the ONNX file alone that its certificate holds.

Bounds the Lipschitz constant from the stored weights, checks that the head computes what the
contract says with that constant, and compares every engine installed here with float64: on
generated frames, on those of --data, and on frames optimised against the engine's rounding.
Exit 0 when PASSED, 3 when FAILED.

A file that passed gets a record into its metadata, without which `stream` and `certify` refuse it;
one that failed loses it. The record tells an edited or unchecked file from a verified one. It does
not stop a forger, since anyone can write one: for that, sign it and give devices your public key.

\b
  openssl genpkey -algorithm ed25519 -out key.pem
  openssl pkey -in key.pem -pubout -out pub.pem
  lipdeploy verify model.onnx --sign key.pem
  lipdeploy stream --model model.onnx --trust pub.pem --source 0

\b
Example: lipdeploy verify model.onnx
"""


@dataclass
class _Outcome:
    """What became of the record, and what the file holds now."""

    record: str = "not written"
    problem: str = ""
    standing: Standing | None = None
    trusted: str | None = None


@click.command(help=HELP)
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "--frames",
    type=click.IntRange(1),
    default=12,
    show_default=True,
    help="Generated frames; twice as many are tried against the rounding.",
)
@click.option(
    "--data", type=click.Path(path_type=Path), help="Data set; as many of its train images join."
)
@click.option("--tightness", is_flag=True, help="Compare each layer's bound with its norm.")
@click.option("--rounding", is_flag=True, help="Bound what float32 can do to a logit difference.")
@click.option("--write/--no-write", default=True, help="Write the record into the file.")
@click.option(
    "--sign",
    "key",
    type=click.Path(path_type=Path),
    metavar="KEY.PEM",
    help="Ed25519 private key; signs the record.",
)
@ENGINES
@TRUST
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def command(
    model: Path,
    frames: int,
    data: Path | None,
    tightness: bool,
    rounding: bool,
    write: bool,
    key: Path | None,
    engines: tuple[str, ...],
    trust: tuple[Path, ...],
    as_json: bool,
) -> int:
    """Prove from the ONNX file alone that its certificate holds."""
    if is_plan(model):
        raise InputError(
            f"{model} is a plan; verify it with `lipdeploy build --verify MODEL.onnx {model}`"
        )
    if key is not None and not write:
        raise InputError("--sign writes into the file; leave out --no-write")
    for name in engines:
        engine_module(name)  # a name that cannot be used must not cost the time of the bounds
    sign = _signer(key) if key else None
    _check_keys(trust)
    if sys.stderr.isatty():
        click.echo(f"Verifying {model} ... (bounds, then {3 * frames} frames or more)", err=True)
    images = _calibration(model, data, frames) if data else ()
    found = verify(model, frames, images, tightness, engines=engines, rounding=rounding)
    outcome = _kept(model, found, write, sign)
    _judge_trust(model, found, outcome, trust)
    click.echo(_as_json(found, outcome) if as_json else _as_text(found, outcome))
    if outcome.problem and found.passed and key is not None:
        return LipdeployError.exit_code  # a signature was asked for and is not there
    return 0 if found.passed else VerificationError.exit_code


def _signer(key: Path) -> Sign:
    from lipdeploy.runtime.ed25519 import load_private_key, signed

    private = load_private_key(key)
    return lambda record_text: signed(record_text, private)


def _check_keys(trust: Sequence[Path]) -> None:
    """A key that cannot be used must not cost the time of a verification."""
    if trust:
        from lipdeploy.runtime.ed25519 import load_public_key

        for path in trust:
            load_public_key(path)


def _calibration(model: Path, data: Path, count: int) -> list[Frame]:
    """Train images at equal distances in the list, at the network's size."""
    paths = [pair.image for pair in load_dataset(data).pairs("train")]
    try:
        manifest = read_model(model).manifest
    except VerificationError:
        return []  # verify says why
    chosen = paths[:: max(1, len(paths) // count)][:count]
    return [resized(read_image(path), manifest.height, manifest.width) for path in chosen]


def _kept(model: Path, found: Verification, write: bool, sign: Sign | None) -> _Outcome:
    outcome = _Outcome()
    if write:
        try:
            outcome.record = keep_record(model, found, sign)
        except OSError as error:
            done = "written" if found.passed else "removed"
            outcome.problem = f"it could not be {done} ({error.strerror or error})"
    try:
        file = read_model(model)
    except VerificationError:
        return outcome  # not a lipdeploy model: the findings say so
    if file.content.sha256 != found.content_sha256:
        raise VerificationError(f"{model} was changed while it was verified; verify it again")
    outcome.standing = file.standing
    return outcome


def _judge_trust(
    model: Path, found: Verification, outcome: _Outcome, trust: Sequence[Path]
) -> None:
    """With --trust a file passes only with a valid record that a trusted key signed."""
    if not trust or not found.passed or outcome.standing is None:
        return
    if not outcome.standing.valid:
        found.failure = f"model {model} {outcome.standing.doubt}"
        return
    try:
        outcome.trusted = str(check_trust(outcome.standing, str(model), trust))
    except VerificationError as error:
        found.failure = str(error)


def _as_text(found: Verification, outcome: _Outcome) -> str:
    lines = []
    if found.layers:
        lines.append(layer_table(found.layers, found.lipschitz, found.tightness))
    if found.errors:
        lines.append("\n" + engine_table(found.errors, found.slack) + "\n")
    if found.rounding is not None:
        lines.append(rounding_table(found.rounding) + "\n")
    lines += [f"ok  {printable(check)}" for check in found.checks]
    if found.foreign_bound is not None:
        lines.append(
            f"L <= {at_most(found.foreign_bound)} (no lipdeploy head: nothing is certified)"
        )
    lines.append(f"record: {outcome.problem or outcome.record}")
    if outcome.standing is not None and outcome.standing.signature_text is not None:
        by = f"by {outcome.trusted}" if outcome.trusted else "not checked; pass --trust PUB.PEM"
        lines.append(f"signature: {by}")
    return "\n".join([*lines, summary_line(found)])


def _as_json(found: Verification, outcome: _Outcome) -> str:
    standing = outcome.standing
    fields = dataclasses.asdict(found) | {
        "passed": found.passed,
        "record_in_file": outcome.problem or outcome.record,
        "record_valid": standing is not None and standing.valid,
        "signed": standing is not None and standing.signature_text is not None,
        "trusted_by": outcome.trusted,
    }
    return json_text(fields)
