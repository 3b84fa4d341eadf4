"""`lipdeploy certify --audit`: the same questions in float64, at level `proved`."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lipdeploy.cli.stream_audit import audit_unavailable
from lipdeploy.core.errors import InputError, VerificationError
from lipdeploy.core.figures import at_least
from lipdeploy.core.manifest import LEVEL_MEANING
from lipdeploy.core.objectives import kept_share, pixelwise_share, stability50
from lipdeploy.core.resize import resized
from lipdeploy.core.whole_file import whole_file
from lipdeploy.runtime.model_file import ModelFile, read_model
from lipdeploy.runtime.session import Session, check_trust, checked_eps, open_session
from lipdeploy.runtime.sources import Frame, open_source

if TYPE_CHECKING:
    from lipdeploy.export.verifier.rounding.audit_session import AuditSession
    from lipdeploy.export.verifier.rounding.comparison import Disagreement


def open_audit(model: Path, unverified: bool, trust: Sequence[Path]) -> AuditSession:
    """The file in float64, with L and the rounding of float64 derived here.

    Raises:
        InputError: the verifier is not installed, `unverified`, or a key that cannot be used.
        VerificationError: the file cannot be bounded or replayed, or nobody trusted signed it.
    """
    if unverified:
        raise InputError("--audit derives what it claims; leave out --unverified")
    try:
        from lipdeploy.export.verifier.rounding.audit_session import AuditSession
    except ModuleNotFoundError as error:
        raise audit_unavailable("--audit", error) from error
    file = read_model(model)
    if trust:
        _check_trust(file, trust)
    return AuditSession(file)


def _check_trust(file: ModelFile, trust: Sequence[Path]) -> None:
    if not file.standing.valid:
        raise VerificationError(f"model {file.name} {file.standing.doubt}")
    check_trust(file.standing, file.name, trust)


@dataclass
class _Sums:
    """Means over the frames of what float64 proves, and what the file got wrong."""

    eps: tuple[float, ...]
    frames: int = 0
    resized: int = 0
    pixels: int = 0
    over_claims: int = 0
    other_class: int = 0
    totals: dict[str, float] = field(default_factory=dict)

    def add(self, row: dict[str, float], wrong: Disagreement, pixels: int) -> None:
        self.frames += 1
        self.pixels += pixels
        self.over_claims += wrong.over_claims
        self.other_class += wrong.other_class
        for key, value in row.items():
            self.totals[key] = self.totals.get(key, 0.0) + value

    def mean(self, key: str) -> float | None:
        return self.totals[key] / self.frames if self.frames else None


def audit_frames(
    model: Path,
    source: str,
    eps: Sequence[float],
    folder: Path,
    trust: Sequence[Path] = (),
    engine: str | None = None,
    threads: int = 0,
) -> int:
    """Evaluate recorded frames in float64 and hold what the file claims of them against it.

    Writes metrics.json and per_image.csv to FOLDER. Returns the exit code: 3 where the file claims
    more than float64, or another class where float64 is clear.

    Args:
        model: an `.onnx` file.
        source: recording, image, or folder of images.
        eps: l2 budgets.
        folder: of the results; made if it is not there.
        trust: public keys, one of which must have signed the record.
        engine: what runs the file; None: the default one.
        threads: of one inference; 0 lets the engine choose.

    Raises:
        LipdeployError: the file, the engine or the frames cannot be used.
    """
    budgets = tuple(sorted({checked_eps(value) for value in eps}))
    audit = open_audit(model, False, trust)
    sums = _Sums(budgets)
    folder.mkdir(parents=True, exist_ok=True)
    with (
        open_session(model, engine, threads) as session,
        whole_file(folder / "per_image.csv") as partial,
    ):
        if session.standing.content_sha256 != audit.standing.content_sha256:
            raise InputError(f"model {model} changed while it was opened; start again")
        with partial.open("w", newline="", encoding="utf-8") as file:
            _write_rows(csv.writer(file), _frames(source), audit, session, sums)
    found = _metrics(audit, session, source, sums)
    with whole_file(folder / "metrics.json") as partial:
        partial.write_text(json.dumps(found, indent=2), encoding="utf-8")
    click.echo(_table(found, audit))
    click.echo(f"Results saved to {folder}")
    return VerificationError.exit_code if sums.over_claims or sums.other_class else 0


def _frames(source: str) -> Iterator[Frame]:
    opened = open_source(source)
    try:
        if opened.live:
            raise InputError(f"{source} is live; --frames takes a recording, images or a folder")
        yield from opened
    finally:
        opened.close()


def _write_rows(
    rows: Any, frames: Iterator[Frame], audit: AuditSession, session: Session, sums: _Sums
) -> None:
    from lipdeploy.export.verifier.rounding.comparison import compared

    manifest = audit.manifest
    keys = [f"{name}@{e}" for e in sums.eps for name in ("crs", "pixelwise_crs")]
    wrong_keys = ["over_claims", "other_class"]
    rows.writerow(["index", "name", *keys, "stability50", *wrong_keys])
    with click.progressbar(frames, label="auditing", file=sys.stderr) as bar:
        for frame in bar:
            image = resized(frame.image, manifest.height, manifest.width)
            sums.resized += image.shape != frame.image.shape
            wrong = compared(audit.reference, image, session.infer(image, [0.0] * manifest.budgets))
            row = _row(audit.reference.judge(image).radius, sums.eps)
            sums.add(row, wrong, image.shape[0] * image.shape[1])
            counts = [wrong.over_claims, wrong.other_class]
            rows.writerow([frame.index, frame.name, *row.values(), *counts])


def _row(radius: Any, eps: Sequence[float]) -> dict[str, float]:
    row = {}
    for budget in eps:
        row[f"crs@{budget}"] = float(kept_share(radius, budget))
        row[f"pixelwise_crs@{budget}"] = float(pixelwise_share(radius, budget))
    return row | {"stability50": float(stability50(radius))}


def _metrics(audit: AuditSession, session: Session, source: str, sums: _Sums) -> dict[str, Any]:
    declared = audit.reference.file.manifest
    eps = {
        str(e): {key: sums.mean(f"{key}@{e}") for key in ("crs", "pixelwise_crs")} for e in sums.eps
    }
    return {
        "images": sums.frames,
        "resized": sums.resized,
        "pixels": sums.pixels,
        "lipschitz": audit.manifest.lipschitz,
        "level": audit.manifest.numerics.level,
        "float64_slack": audit.reference.slack,
        "source": source,
        "weights_sha256": declared.weights_sha256,
        "content_sha256": audit.standing.content_sha256,
        "eps": eps,
        "q2": {"stability50": sums.mean("stability50")},
        "file": {
            "engine": session.engine,
            "level": session.manifest.numerics.level,
            "doubt": session.standing.doubt,
            "slack": declared.numerics.slack,
            "over_claims": sums.over_claims,
            "other_class": sums.other_class,
        },
    }


def _table(found: dict[str, Any], audit: AuditSession) -> str:
    rows = [
        f"eps {eps:>6}: at least {_share(row['crs'])} of the pixels keep their class, "
        f"{_share(row['pixelwise_crs'])} one by one"
        for eps, row in found["eps"].items()
    ]
    if found["resized"]:
        size = f"{audit.manifest.height}x{audit.manifest.width}"
        rows.append(f"{found['resized']} frames were resized to {size}: eps is of that size")
    file = found["file"]
    verdict = (
        "the file claims no more than that"
        if not file["over_claims"] and not file["other_class"]
        else f"FAILED: the file claims too large a radius for {file['over_claims']} pixels, "
        f"another class for {file['other_class']}; run `lipdeploy verify` on this device"
    )
    name = audit.reference.file.name
    doubts = [f"{name} {file['doubt']}"] if file["doubt"] else []
    return "\n".join(
        [
            f"{found['images']} frames in float64, L <= {audit.manifest.lipschitz:.8f}, "
            f"rounding {audit.reference.slack:.2g} subtracted",
            f"level {found['level']}: {LEVEL_MEANING[found['level']]}",
            *rows,
            f"{name} on {file['engine']} (level {file['level']}): {verdict}",
            *doubts,
        ]
    )


def _share(value: float | None) -> str:
    return "-" if value is None else at_least(value)
