"""`lipdeploy build`: a TensorRT plan on this device, and the record beside it."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

import click

from lipdeploy.cli.build_run import BuildJob, build, verify_plan
from lipdeploy.cli.json_text import json_text
from lipdeploy.cli.trust import TRUST
from lipdeploy.core.errors import ArtefactError
from lipdeploy.runtime.model_file import read_bytes
from lipdeploy.runtime.plan_record import PlanRecord
from lipdeploy.runtime.tensorrt_api import PACKAGES
from lipdeploy.runtime.tensorrt_build import WORKSPACE_MB
from lipdeploy.runtime.tensorrt_check import Finding, check_builds

HELP = """Build a TensorRT plan on the device that will run it.

Takes TensorRT 10.3 to 11 and TensorRT-RTX: strongly typed, static shape, without TF32. Writes a
plain plan file and ENGINE.json beside it, which loading checks. The plan itself is then compared
with float64 on generated frames, those of --data, perturbed ones and ones that attack its rounding;
exit 3 and nothing written where the slack of the model does not cover what it does.

Without a GPU only TensorRT-RTX builds. Its plan is at level none until it was verified where it
runs: `lipdeploy build --verify model.onnx model.engine`.

\b
Example: lipdeploy build model.onnx model.engine
CI:      lipdeploy build --check model.onnx
"""


@click.command("build", help=HELP)
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("engine", type=click.Path(path_type=Path), required=False)
@click.option(
    "--flavour", type=click.Choice(list(PACKAGES)), help="Which TensorRT.  [default: what is here]"
)
@click.option(
    "--workspace-mb",
    type=click.IntRange(1, 1048576),
    default=WORKSPACE_MB,
    show_default=True,
    help="Most scratch memory of one layer, MiB; the default suits devices with 4 GB.",
)
@click.option(
    "--timing-cache",
    type=click.Path(path_type=Path),
    help="Keep timings of layers in this file: the next build is faster.",
)
@click.option("--build-only", is_flag=True, help="Do not verify the plan; it claims nothing then.")
@click.option("--verify", "verify_only", is_flag=True, help="Verify ENGINE here; build nothing.")
@click.option("--check", is_flag=True, help="Only say whether MODEL builds; needs no GPU with RTX.")
@click.option(
    "--python",
    "interpreters",
    type=click.Path(path_type=Path),
    multiple=True,
    help="With --check: a `python` whose environment has a TensorRT. Repeatable.",
)
@click.option("--data", type=click.Path(path_type=Path), help="Data set; its train images join.")
@click.option(
    "--frames",
    type=click.IntRange(1),
    help="Generated frames to compare.  [default: what the level needs]",
)
@click.option("--unverified", is_flag=True, help="Build a model that was not verified.")
@TRUST
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(
    model: Path,
    engine: Path | None,
    check: bool,
    interpreters: tuple[Path, ...],
    verify_only: bool,
    as_json: bool,
    **options: object,
) -> int:
    """Build a TensorRT plan on the device that will run it."""
    if check:
        workspace = int(str(options["workspace_mb"]))
        found = check_builds(read_bytes(model), str(model), interpreters, workspace)
        click.echo(_checks_json(found) if as_json else _checks_text(model, found))
        return 0 if all(f.builds for f in found) else ArtefactError.exit_code
    _refuse_misuse(engine, interpreters, verify_only and bool(options["build_only"]))
    assert engine is not None
    job = BuildJob(model, engine, **options)  # type: ignore[arg-type]  # one option a field
    compared = _Progress("frames compared")
    if verify_only:
        record = verify_plan(job, compared.count)
    else:
        record = build(job, _Progress("").phase, compared.count)
    click.echo(record_json(record) if as_json else record_text(engine, record))
    return 0


def _refuse_misuse(engine: Path | None, interpreters: tuple[Path, ...], both: bool) -> None:
    if engine is None:
        raise click.UsageError("ENGINE is missing: where should the plan go?")
    if interpreters:
        raise click.UsageError("--python goes with --check only")
    if both:
        raise click.UsageError("--verify and --build-only exclude each other")


class _Progress:
    """One line on a terminal, none elsewhere."""

    def __init__(self, title: str) -> None:
        self.title, self.done = title, 0

    def phase(self, phase: str, step: int, steps: int) -> None:
        """A phase of the build."""
        self._show(f"{phase}: {step}/{steps}")

    def count(self, more: int) -> None:
        """So many more are done."""
        self.done += more
        self._show(f"{self.title}: {self.done}")

    def _show(self, text: str) -> None:
        if sys.stderr.isatty():
            click.echo(f"\r\x1b[K{text[:79]}", err=True, nl=False)


def record_text(engine: Path, record: PlanRecord) -> str:
    """What was built, for people."""
    found = record.verification
    lines = [
        f"plan      {record.plan_bytes / 1e6:.2f} MB, {PACKAGES[record.flavour]} "
        f"{record.tensorrt}, {record.precision}",
        f"device    {record.device}",
    ]
    if found.verified:
        lines.append(
            f"verified  on {found.device}: {found.frames} frames, {found.perturbed_frames} "
            f"perturbed, {found.rounding_attacked_frames} attacks on rounding: largest error of a "
            f"margin {found.largest_error:.2e}, D {found.slack:.2e}"
        )
    else:
        lines.append(f"level     none: {found.reason}")
        lines.append(
            f"next      lipdeploy build --verify {record.model} {engine.name}, where it runs"
        )
    return "\n".join([*lines, f"Results saved to {engine} and {engine}.json"])


def record_json(record: PlanRecord) -> str:
    """The record without the model's metadata."""
    fields = json.loads(record.to_text())
    del fields["metadata"], fields["record_sha256"]
    return json_text(fields)


def _checks_text(model: Path, found: tuple[Finding, ...]) -> str:
    rows = [
        f"ok    {f.engine}: {f.plan_bytes / 1e6:.2f} MB in {f.seconds:.1f} s"
        if f.builds
        else f"FAIL  {f.engine}: {f.error}"
        for f in found
    ]
    good = sum(f.builds for f in found)
    return "\n".join([*rows, f"{model} builds with {good} of {len(found)} TensorRT tried"])


def _checks_json(found: tuple[Finding, ...]) -> str:
    return json_text({"builds": [dataclasses.asdict(f) | {"builds": f.builds} for f in found]})
