"""The JSON beside a TensorRT plan: which model, which TensorRT, which device, what was verified.

A plan is a plain file that every TensorRT program can load, so what lipdeploy has to know of it
lies beside it as `NAME.engine.json`. The record carries the metadata of the ONNX file, its
verification record included, and so replaces that file on the device.

Its own hash tells a record that was edited or only half written. It does not stop a forger, who can
compute a hash as well: whoever needs that keeps plans where only trusted people write.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lipdeploy.core.content_hash import Content
from lipdeploy.core.errors import VerificationError
from lipdeploy.core.manifest import Manifest, manifest_from_metadata
from lipdeploy.core.record import Standing, standing_of

PLAN_SCHEMA = 1
AHEAD_OF_TIME = "none: built ahead of time"
_LONGEST = 2**24  # characters


@dataclass(frozen=True)
class PlanVerification:
    """What the comparison of the plan itself with float64 found.

    Attributes:
        verified: whether every frame held.
        reason: why not, in words; empty if it is.
        device: on which device it ran; a plan verified there says nothing of another one.
        frames: generated and calibration frames.
        perturbed_frames: frames with added noise.
        rounding_attacked_frames: neighbours tried by the attack on rounding.
        largest_error: of a margin, in logits.
        sigma: root mean square error of a logit, as the margins show it.
        slack: D of the model, which covers it.
        lipdeploy: version that compared.
        time: UTC, ISO 8601.
    """

    verified: bool
    reason: str = ""
    device: str = ""
    frames: int = 0
    perturbed_frames: int = 0
    rounding_attacked_frames: int = 0
    largest_error: float = 0.0
    sigma: float = 0.0
    slack: float = 0.0
    lipdeploy: str = ""
    time: str = ""


@dataclass(frozen=True)
class PlanRecord:
    """Everything that loading a plan depends on.

    Attributes:
        plan_sha256: of the plan file.
        plan_bytes: its size.
        model: name of the ONNX file, without its folder.
        onnx_sha256: of the whole ONNX file.
        content_sha256: of its content, to which its verification record belongs.
        metadata: of the ONNX file, verification record and signature included.
        flavour: `tensorrt` or `tensorrt-rtx`.
        tensorrt: version that built the plan; no other can load it.
        cuda: newest CUDA version of the driver that built it, or `none`.
        device: name of the GPU, or `AHEAD_OF_TIME`.
        compute_capability: of the GPU, for example `8.7`, or `AHEAD_OF_TIME`.
        precision: of the model, for example `float32`.
        options: of the build.
        verification: of the plan itself.
        lipdeploy: version that built it.
        time: UTC, ISO 8601.
    """

    plan_sha256: str
    plan_bytes: int
    model: str
    onnx_sha256: str
    content_sha256: str
    metadata: Mapping[str, str]
    flavour: str
    tensorrt: str
    cuda: str
    device: str
    compute_capability: str
    precision: str
    options: Mapping[str, Any]
    verification: PlanVerification
    lipdeploy: str
    time: str
    schema: int = field(default=PLAN_SCHEMA)

    def to_text(self) -> str:
        """JSON for people and programs; its last key is the hash of the others."""
        fields = dataclasses.asdict(self)
        fields["metadata"], fields["options"] = dict(self.metadata), dict(self.options)
        return json.dumps(fields | {"record_sha256": _digest(fields)}, indent=1) + "\n"

    @property
    def built_ahead(self) -> bool:
        """Whether no device was there when the plan was built."""
        return self.compute_capability == AHEAD_OF_TIME

    def manifest(self, name: str) -> Manifest:
        """What the model says of itself.

        Raises:
            VerificationError: as `manifest_from_metadata`.
        """
        return manifest_from_metadata(self.metadata, f"plan {name}")

    def standing(self, manifest: Manifest) -> Standing:
        """Whether the ONNX file that the plan was built from was verified.

        The signature, which is over that file's record and not over this one, is left out: it
        must not vouch for a plan.
        """
        content = Content(self.content_sha256, self.metadata, ())
        return dataclasses.replace(standing_of(content, manifest), signature_text=None)


def record_path(plan: Path) -> Path:
    """Where the record of a plan lies: `model.engine` has `model.engine.json`."""
    return plan.with_name(f"{plan.name}.json")


def rebuild_command(plan: Path, model: str = "") -> str:
    """The command that makes a plan for this machine, where the model lies beside it.

    Args:
        plan: its path.
        model: name of the ONNX file; empty if it is not known.
    """
    return f"`{shlex.join(['lipdeploy', 'build', model_beside(plan, model), str(plan)])}`"


def verify_command(plan: Path, model: str, *options: str) -> str:
    """The command that verifies a plan on this machine."""
    words = ["lipdeploy", "build", "--verify", model_beside(plan, model), str(plan), *options]
    return f"`{shlex.join(words)}`"


def model_beside(plan: Path, model: str) -> str:
    """Where the ONNX file of a plan is looked for."""
    return str(plan.parent / (Path(model).name or f"{plan.stem}.onnx"))


def read_plan_record(plan: Path) -> PlanRecord:
    """Read the record beside a plan.

    Raises:
        VerificationError: missing, not readable, of another schema, or edited.
    """
    path, again = _found_record(plan), rebuild_command(plan)
    if not path.is_file():
        raise VerificationError(
            f"plan {plan} has no record {path.name} beside it; copy both, or run {again}"
        )
    with path.open("rb") as file:
        data = file.read(_LONGEST + 1)
    try:
        return record_from_json(data.decode(errors="replace"))
    except VerificationError as error:
        raise VerificationError(f"record {path} {error}; copy it again or run {again}") from error


def _found_record(plan: Path) -> Path:
    """Beside the plan, or where that is a link, beside the file that it points at."""
    path = record_path(plan)
    behind = record_path(plan.resolve())
    return behind if not path.is_file() and behind.is_file() else path


def record_from_json(text: str) -> PlanRecord:
    """Read a record.

    Raises:
        VerificationError: the message continues a sentence that starts with the record's name.
    """
    fields = _parsed(text)
    if fields.pop("record_sha256", None) != _digest(fields):
        raise VerificationError("was edited after the build, or is not whole: its hash differs")
    try:
        verification = PlanVerification(**fields.pop("verification"))
        record = PlanRecord(**fields, verification=verification)
        _check(record)
    except (TypeError, ValueError, OverflowError) as error:
        raise VerificationError(f"is not one that lipdeploy wrote ({error})") from error
    return record


def _parsed(text: str) -> dict[str, Any]:
    try:
        if len(text) > _LONGEST:
            raise ValueError
        fields = json.loads(text)
    except (ValueError, RecursionError):
        raise VerificationError("cannot be read as JSON") from None
    if not isinstance(fields, dict):
        raise VerificationError("is no JSON object")
    if fields.get("schema") != PLAN_SCHEMA:
        found = str(fields.get("schema"))[:20]
        raise VerificationError(f"has schema {found}, this version reads {PLAN_SCHEMA}")
    return fields


def _check(record: PlanRecord) -> None:
    texts = [getattr(record, f.name) for f in dataclasses.fields(record) if f.type == "str"]
    verification = record.verification
    sound = (
        all(isinstance(text, str) for text in texts)
        and type(record.plan_bytes) is int
        and isinstance(record.metadata, dict)
        and all(isinstance(value, str) for value in record.metadata.values())
        and isinstance(record.options, dict)
        and type(verification.verified) is bool
        and _are_figures(verification)
    )
    if not sound:
        raise ValueError("a field of another type")


def _are_figures(found: PlanVerification) -> bool:
    counts = (found.frames, found.perturbed_frames, found.rounding_attacked_frames)
    errors = (found.largest_error, found.sigma, found.slack)
    return all(type(n) is int for n in counts) and all(
        type(e) in (int, float) and math.isfinite(e) for e in errors
    )


def _digest(fields: Mapping[str, Any]) -> str:
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
