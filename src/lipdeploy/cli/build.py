"""`lipdeploy build`: a TensorRT plan on this device, and the record beside it."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

import click
from click.core import ParameterSource

from lipdeploy.cli.build_run import (
    FRAMES_KNOWN,
    FRAMES_UNKNOWN,
    BuildJob,
    build,
    next_step,
    verify_plan,
)
from lipdeploy.cli.json_text import json_text
from lipdeploy.cli.trust import TRUST
from lipdeploy.core.errors import ArtefactError
from lipdeploy.runtime.model_file import read_bytes
from lipdeploy.runtime.plan_record import PlanRecord, record_path
from lipdeploy.runtime.tensorrt_api import PACKAGES
from lipdeploy.runtime.tensorrt_build import WORKSPACE_MB
from lipdeploy.runtime.tensorrt_check import Finding, check_builds

HELP = """Build a TensorRT plan on the device that will run it.

Takes TensorRT 10.3 to 11 or TensorRT-RTX. MODEL alone says in which precision the plan computes;
TF32 is off. ENGINE (.engine or .plan) is a plain plan, ENGINE.json beside it says from what and for
which device it was built, which is checked whenever the plan is loaded.

The plan itself is then compared with float64: on generated frames, those of --data, noisy ones and
ones that attack its rounding. Where the slack D of MODEL does not cover what the plan does, nothing
is written (exit 3). Exit 6: no TensorRT or GPU here, or MODEL does not build.

Without a GPU only TensorRT-RTX builds. Such a plan claims nothing until `--verify` ran on the
device.

\b
Examples:
  lipdeploy build model.onnx model.engine
  lipdeploy build --verify model.onnx model.engine
  lipdeploy build --check model.onnx
"""

# Which way of calling takes an option; elsewhere it would be ignored, so it is refused.
_TAKEN_BY = {
    "flavour": ("build",),
    "workspace_mb": ("build", "--check"),
    "timing_cache": ("build",),
    "build_only": ("build",),
    "interpreters": ("--check",),
    "data": ("build", "--verify"),
    "frames": ("build", "--verify"),
    "unverified": ("build",),
    "trust": ("build", "--verify"),
    "engine": ("build", "--verify"),
}


@click.command("build", help=HELP)
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("engine", type=click.Path(path_type=Path), required=False)
@click.option(
    "--flavour",
    type=click.Choice(list(PACKAGES)),
    help="Which TensorRT, where both are installed.  [default: tensorrt]",
)
@click.option(
    "--workspace-mb",
    type=click.IntRange(1, 1048576),
    default=WORKSPACE_MB,
    show_default=True,
    help="Most scratch memory of one layer, in MiB; 512 suits devices with 4 GB.",
)
@click.option(
    "--timing-cache",
    type=click.Path(path_type=Path),
    help="Keep the timings of layers in this file: the next build is faster. Not for RTX.",
)
@click.option("--build-only", is_flag=True, help="Do not compare the plan; it claims nothing then.")
@click.option(
    "--verify", "verify_only", is_flag=True, help="Compare ENGINE on this device; build nothing."
)
@click.option(
    "--check", is_flag=True, help="Only say whether MODEL builds; TensorRT-RTX needs no GPU for it."
)
@click.option(
    "--python",
    "interpreters",
    type=click.Path(path_type=Path),
    multiple=True,
    help="With --check: a `python` whose environment has a TensorRT. Repeatable.",
)
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="Data set YAML file whose train images join the frames.",
)
@click.option(
    "--frames",
    type=click.IntRange(1),
    help="Generated frames to compare.  "
    f"[default: {FRAMES_KNOWN} where D was measured on this TensorRT, else {FRAMES_UNKNOWN}]",
)
@click.option("--unverified", is_flag=True, help="Also build a model that nothing is known of.")
@TRUST
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.pass_context
def command(
    context: click.Context,
    /,
    model: Path,
    engine: Path | None,
    check: bool,
    interpreters: tuple[Path, ...],
    verify_only: bool,
    as_json: bool,
    **options: object,
) -> int:
    """Build a TensorRT plan on the device that will run it."""
    _refuse_misuse(context, verify_only, check)
    if check:
        workspace = int(str(options["workspace_mb"]))
        found = check_builds(read_bytes(model), str(model), interpreters, workspace)
        click.echo(_checks_json(found) if as_json else _checks_text(model, found))
        return 0 if all(f.builds for f in found) else ArtefactError.exit_code
    if engine is None:
        raise click.UsageError("ENGINE is missing: where should the plan go?")
    job = BuildJob(model, engine, **options)  # type: ignore[arg-type]  # one option a field
    compared = _Progress("frames compared")
    if verify_only:
        record = verify_plan(job, compared.count)
    else:
        record = build(job, _Progress("").phase, compared.count)
    compared.close()
    click.echo(record_json(record) if as_json else record_text(job, record))
    return 0


def _refuse_misuse(context: click.Context, verify: bool, check: bool) -> None:
    """Nothing that was asked for is left out silently."""
    if verify and check:
        raise click.UsageError("--verify and --check exclude each other")
    way = "--verify" if verify else "--check" if check else "build"
    for parameter in context.command.params:
        name = str(parameter.name)
        given = context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        taken_by = _TAKEN_BY.get(name, (way,))
        if given and way not in taken_by:
            flag = "ENGINE" if name == "engine" else parameter.opts[0]
            told = f"does not go with {way}" if way != "build" else f"goes with {taken_by[0]} only"
            raise click.UsageError(f"{flag} {told}; leave it out")


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

    def close(self) -> None:
        """Leave an empty line for what follows."""
        self._show("")


def record_text(job: BuildJob, record: PlanRecord) -> str:
    """What was built, for people."""
    found, engine = record.verification, job.target
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
        lines.append(f"next      {next_step(job, record)}")
    return "\n".join([*lines, f"Results saved to {engine} and {record_path(engine)}"])


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
