"""A model file, read once: its bytes, what they say of themselves, and whether that holds."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from lipdeploy.core.content_hash import LARGEST_FILE, Content, content_from_bytes
from lipdeploy.core.errors import InputError, VerificationError
from lipdeploy.core.manifest import Manifest, manifest_from_metadata
from lipdeploy.core.record import Standing, standing_of
from lipdeploy.runtime.measured_engines import doubt_on


@dataclass(frozen=True)
class ModelFile:
    """One reading of a file; everything that follows uses these bytes and never the path again.

    Attributes:
        name: for messages.
        data: the file.
        content: its hash and metadata.
        manifest: as declared.
        standing: whether a verification record vouches for what is declared.
    """

    name: str
    data: bytes
    content: Content
    manifest: Manifest
    standing: Standing

    @property
    def claimable(self) -> Manifest:
        """The manifest with the level that may be claimed: `none` without a valid record."""
        return self.manifest if self.standing.valid else disclaimed(self.manifest)

    def on(self, engine: str) -> ModelFile:
        """The file as it is judged on an engine: doubtful where its level was not measured there.

        Args:
            engine: name, version and device, as `Session.engine` has it.
        """
        if not self.standing.valid:
            return self
        doubt = doubt_on(engine, self.manifest.numerics, self.standing.record)
        return dataclasses.replace(self, standing=dataclasses.replace(self.standing, doubt=doubt))


def disclaimed(manifest: Manifest) -> Manifest:
    """The same model at level `none`: nothing that runs it claims anything."""
    numerics = dataclasses.replace(manifest.numerics, level="none")
    return dataclasses.replace(manifest, numerics=numerics)


def read_bytes(path: Path) -> bytes:
    """The whole file, in one reading.

    Raises:
        InputError: there is no such file.
        VerificationError: it is larger than any ONNX file can be.
    """
    if not path.is_file():
        what = "a folder" if path.is_dir() else "not there"
        raise InputError(f"model {path} is {what}; expected an .onnx file of `lipdeploy export`")
    with path.open("rb") as file:
        data = file.read(LARGEST_FILE + 1)
    if len(data) > LARGEST_FILE:
        raise VerificationError(f"model {path} has more than {LARGEST_FILE} bytes; export it again")
    return data


def model_file(data: bytes, name: str) -> ModelFile:
    """Judge the bytes of a model.

    Raises:
        VerificationError: not a lipdeploy model, or not a plainly written ONNX file.
    """
    try:
        content = content_from_bytes(data)
    except VerificationError as error:
        hint = "; a plan is none, name the file it was built from" if _is_plan(name) else ""
        raise VerificationError(f"model {name}: {error}{hint}") from error
    manifest = manifest_from_metadata(content.metadata, f"model {name}")
    return ModelFile(name, data, content, manifest, standing_of(content, manifest))


def _is_plan(name: str) -> bool:
    return name.endswith((".engine", ".plan"))


def read_model(path: Path) -> ModelFile:
    """Read and judge a file; raises what `read_bytes` and `model_file` raise."""
    return model_file(read_bytes(path), str(path))
