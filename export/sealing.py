"""The last steps of every file: hash, verification before anything is written, record."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import onnx

from lipdeploy.core.errors import VerificationError
from lipdeploy.core.manifest import Manifest
from lipdeploy.core.whole_file import whole_file
from lipdeploy.export.artefact import Description, assembled, hashed
from lipdeploy.export.verifier.record_file import keep_record
from lipdeploy.export.verifier.verification import Verification, verify

MARGIN_OVER_COMPUTED = 1e-9  # so that another machine's float64 finds L within the declared one


def sealed(
    trunk: onnx.ModelProto, manifest: Manifest, description: Description, with_logits: bool
) -> onnx.ModelProto:
    """Trunk, head and metadata as one model that carries the hash of its own weights."""
    digest = hashed(assembled(trunk, manifest, description, with_logits))
    manifest = dataclasses.replace(manifest, weights_sha256=digest)
    return assembled(trunk, manifest, description, with_logits)


def write_verified(
    model: onnx.ModelProto, target: Path, engines: Sequence[str] = ()
) -> Verification:
    """Write a model with its verification record; nothing is left there when a check fails.

    Args:
        model: as `sealed` returns it.
        target: the file.
        engines: names of those to compare with float64; none: all that work here.

    Raises:
        OSError: the file cannot be written.
        VerificationError: a check that failed.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(target) as partial:
        onnx.save_model(model, str(partial))
        verification = verify(partial, engines=engines)
        if not verification.passed:
            raise VerificationError(f"{verification.failure}; nothing written to {target}")
        keep_record(partial, verification)
    verification.model = str(target)
    return verification
