"""`lipdeploy verify` and the record that it leaves: which bytes change and which never do."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from pathlib import Path
from typing import Any

import onnx
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

import lipdeploy.cli.verify as verify_command
from lipdeploy.cli import main
from lipdeploy.core.content_hash import (
    KEYS_OUTSIDE_THE_CONTENT,
    RECORD_KEY,
    SIGNATURE_KEY,
    content_from_bytes,
    with_entries,
)
from lipdeploy.core.errors import InputError, VerificationError
from lipdeploy.export.fold import folded
from lipdeploy.export.trunk import trunk_model
from lipdeploy.export.verifier.execution import EngineError
from lipdeploy.export.verifier.record_file import keep_record
from lipdeploy.export.verifier.verification import Verification, verify
from lipdeploy.runtime.ed25519 import load_private_key, signed
from lipdeploy.runtime.measured_engines import RECORD_FRAMES
from lipdeploy.runtime.model_file import read_bytes, read_model
from lipdeploy.runtime.session import open_session
from tests.export.conftest import trained_like
from tests.runtime.conftest import save_tiny, tiny_manifest, tiny_model, tiny_record
from tests.runtime.test_ed25519 import private_pem, public_pem

MANIFEST = tiny_manifest()


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A tiny model without a record."""
    path = tmp_path / "m.onnx"
    path.write_bytes(tiny_model(MANIFEST).SerializeToString())
    return path


def passed(path: Path) -> Verification:
    """The finding of a verification that passed; the tiny model has no head of the contract."""
    record = tiny_record(path.read_bytes(), MANIFEST)
    return Verification(str(path), record.content_sha256, record=record, level="statistical")


def failed(path: Path) -> Verification:
    sha256 = content_from_bytes(path.read_bytes()).sha256
    return Verification(str(path), sha256, failure="L is too large")


def stored(path: Path) -> set[str]:
    return set(content_from_bytes(path.read_bytes()).metadata) & set(KEYS_OUTSIDE_THE_CONTENT)


def test_the_record_is_appended_and_every_other_byte_stays(bare: Path) -> None:
    before = bare.read_bytes()
    bare.chmod(0o640)
    assert keep_record(bare, passed(bare)) == "written"
    after = bare.read_bytes()
    assert after.startswith(before)
    assert bare.stat().st_mode & 0o777 == 0o640
    assert sorted(bare.parent.iterdir()) == [bare], "nothing else is left there"
    record = json.loads({p.key: p.value for p in onnx.load(bare).metadata_props}[RECORD_KEY])
    assert record["content_sha256"] == hashlib.sha256(before).hexdigest()
    assert read_model(bare).standing.valid


def test_the_same_finding_changes_no_byte(bare: Path) -> None:
    keep_record(bare, passed(bare))
    before, inode = bare.read_bytes(), bare.stat().st_ino
    again = passed(bare)
    assert again.record is not None
    object.__setattr__(again.record, "time", "2030-01-01T00:00:00+00:00")
    assert keep_record(bare, again) == "valid, of 2026-01-01T00:00:00+00:00"
    assert (bare.read_bytes(), bare.stat().st_ino) == (before, inode)


def test_another_finding_replaces_the_record_but_not_a_signed_one(
    bare: Path, tmp_path: Path
) -> None:
    keep_record(bare, passed(bare))
    other = passed(bare)
    assert other.record is not None
    object.__setattr__(other.record, "frames", 99)
    assert keep_record(bare, other) == "written"
    assert read_model(bare).standing.record == other.record
    key = load_private_key(private_pem(tmp_path / "k", ed25519.Ed25519PrivateKey.generate()))
    assert keep_record(bare, other, lambda text: signed(text, key)) == "written and signed"
    before = bare.read_bytes()
    assert "valid and signed" in keep_record(bare, passed(bare))
    assert bare.read_bytes() == before


def test_a_signed_record_goes_where_it_vouches_for_an_engine_that_failed(
    bare: Path, tmp_path: Path
) -> None:
    """A long verification elsewhere named openvino; on this device openvino is wrong."""
    long, key = passed(bare), private_pem(tmp_path / "k", ed25519.Ed25519PrivateKey.generate())
    assert long.record is not None
    object.__setattr__(long.record, "engines", ("openvino 2025.1 CPU",))
    object.__setattr__(long.record, "frames", RECORD_FRAMES)
    private = load_private_key(key)
    keep_record(bare, long, lambda text: signed(text, private))
    with open_session(bare, "openvino") as session:
        assert session.manifest.numerics.level == "statistical"
    other_engine, same_engine = passed(bare), passed(bare)
    other_engine.errors = (EngineError("tensorrt 10 GPU", "no claim", 0, math.nan, False),)
    assert "valid and signed" in keep_record(bare, other_engine)
    same_engine.errors = (EngineError("openvino 2026.4 CPU", "no claim", 0, math.nan, False),)
    assert keep_record(bare, same_engine) == "written"
    with open_session(bare, "openvino") as session:
        assert session.manifest.numerics.level == "none"


def test_a_failed_file_loses_record_and_signature(bare: Path) -> None:
    before = bare.read_bytes()
    bare.write_bytes(with_entries(before, {RECORD_KEY: "{}", SIGNATURE_KEY: "{}"}))
    assert keep_record(bare, failed(bare)) == "removed: the file failed"
    assert bare.read_bytes() == before
    assert keep_record(bare, failed(bare)) == "none"


def test_a_file_changed_during_verification_keeps_what_it_has(bare: Path) -> None:
    found = passed(bare)
    save_tiny(bare, MANIFEST, scale=2.0)
    before = bare.read_bytes()
    with pytest.raises(VerificationError, match="was changed while it was verified"):
        keep_record(bare, found)
    assert bare.read_bytes() == before


def test_a_link_stays_a_link(bare: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.onnx"
    link.symlink_to(bare.name)
    keep_record(link, passed(bare))
    assert link.is_symlink()
    assert stored(bare) == {RECORD_KEY}


def test_a_failed_replacement_leaves_the_old_file_alone(
    bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = bare.read_bytes()

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        keep_record(bare, passed(bare))
    assert bare.read_bytes() == before
    assert list(bare.parent.iterdir()) == [bare]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """`lipdeploy verify` passes every tiny model."""
    monkeypatch.setattr(verify_command, "verify", lambda path, *_, **__: passed(path))


@pytest.mark.usefixtures("quick")
def test_read_only_files_still_get_their_verdict(
    bare: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = bare.read_bytes()
    bare.chmod(0o444)
    assert main(["verify", str(bare)]) == 0
    out = capsys.readouterr().out
    assert "record: it could not be written (the file is read-only)" in out
    assert "PASSED" in out
    key = private_pem(tmp_path / "k.pem", ed25519.Ed25519PrivateKey.generate())
    assert main(["verify", str(bare), "--sign", str(key)]) == 1, "the signature was asked for"
    assert bare.read_bytes() == before


@pytest.mark.usefixtures("quick")
def test_no_write_reads_only(bare: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = bare.read_bytes()
    assert main(["verify", str(bare), "--no-write"]) == 0
    assert "record: not written" in capsys.readouterr().out
    assert bare.read_bytes() == before


@pytest.mark.usefixtures("quick")
def test_sign_and_trust(bare: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key, other = (ed25519.Ed25519PrivateKey.generate() for _ in range(2))
    private, public = private_pem(tmp_path / "k.pem", key), public_pem(tmp_path / "p.pem", key)
    stranger = public_pem(tmp_path / "o.pem", other)
    assert main(["verify", str(bare), "--trust", str(public)]) == 3
    assert "has no signature" in capsys.readouterr().out
    assert main(["verify", str(bare), "--sign", str(private), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["signed"] is True
    assert main(["verify", str(bare)]) == 0
    assert "signature: not checked; pass --trust" in capsys.readouterr().out
    assert main(["verify", str(bare), "--trust", str(stranger), "--trust", str(public)]) == 0
    assert f"signature: by {public}" in capsys.readouterr().out
    before = bare.read_bytes()
    assert main(["verify", str(bare), "--trust", str(stranger)]) == 3
    assert "FAILED | model" in capsys.readouterr().out
    assert bare.read_bytes() == before, "who signed is no part of the proof"
    assert main(["verify", str(bare), "--sign", str(private), "--no-write"]) == 2
    assert main(["verify", str(bare), "--sign", str(public)]) == 2
    assert main(["inspect", str(bare)]) == 0
    assert key.public_key().public_bytes_raw().hex() in capsys.readouterr().out


def test_export_writes_the_record_and_verify_agrees_with_it(
    model_64: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path(shutil.copy(model_64, tmp_path))
    standing = read_model(path).standing
    assert standing.valid
    assert standing.record is not None
    assert standing.record.engines[0].startswith("onnxruntime")
    before = path.read_bytes()
    assert main(["verify", str(path), "--frames", "2", "--tightness", "--no-write"]) == 0
    out = capsys.readouterr().out
    assert "bound/norm" in out
    assert "1.00000" in out
    assert "2 synthetic" in out
    assert "4 attacked" in out
    assert path.read_bytes() == before


def test_a_tampered_file_fails_and_loses_its_record(
    model_64: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = onnx.load(model_64)
    next(p for p in model.metadata_props if p.key == "lipdeploy.lipschitz").value = "0.5"
    path = tmp_path / "bad.onnx"
    onnx.save(model, path)
    assert not read_model(path).standing.valid
    assert main(["verify", str(path)]) == 3
    assert "record: removed: the file failed" in capsys.readouterr().out
    assert stored(path) == set()


def test_a_file_that_no_parser_takes_loses_its_record_too(bare: Path) -> None:
    """Weights elsewhere: found before anything else, and no reason to keep an old verdict."""
    model = tiny_model(MANIFEST)
    model.graph.initializer[0].data_location = onnx.TensorProto.EXTERNAL
    bare.write_bytes(with_entries(model.SerializeToString(), {RECORD_KEY: "{}"}))
    found = verify(bare)
    assert "weights in other files" in str(found.failure)
    assert keep_record(bare, found) == "removed: the file failed"


def test_verify_uses_the_bytes_it_read_and_never_the_path_again(
    model_64: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Path(shutil.copy(model_64, tmp_path))

    def read_then_spoil(place: Path) -> bytes:
        data = read_bytes(place)
        place.write_bytes(b"spoilt")
        return data

    monkeypatch.setattr("lipdeploy.export.verifier.verification.read_bytes", read_then_spoil)
    assert verify(path, 1).passed


def test_foreign_graphs_are_told_their_bound_and_never_pass(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "foreign.onnx"
    onnx.save(trunk_model(folded(trained_like(2)), 16, 16), path)
    assert main(["verify", str(path)]) == 3
    out = capsys.readouterr().out
    assert "L <= 1.0001 (no lipdeploy head: nothing is certified)" in out
    assert "FAILED" in out
    assert "not a lipdeploy model" in out
    assert "PASSED" not in out
    assert stored(path) == set()


def test_calibration_frames_of_the_users_data(
    bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import cv2
    import numpy as np

    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
        for i in range(7):
            cv2.imwrite(str(tmp_path / folder / f"{i}.png"), np.full((9, 9, 3), i, np.uint8))
    data = tmp_path / "d.yaml"
    data.write_text("train: images\nval: images\nmasks_dir: masks\nnames: [a, b]\n")
    seen: list[Any] = []

    def note(path: Path, frames: int, images: list[Any], *_: Any, **__: Any) -> Verification:
        seen.extend(images)
        return passed(path)

    monkeypatch.setattr(verify_command, "verify", note)
    assert main(["verify", str(bare), "--data", str(data), "--frames", "3"]) == 0
    assert [image.shape for image in seen] == [(48, 64, 3)] * 3
    assert [int(image[0, 0, 0]) for image in seen] == [0, 2, 4]
    (tmp_path / "images/0.png").write_bytes(b"no picture")
    assert main(["verify", str(bare), "--data", str(data)]) == 2


def test_missing_file_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not there"):
        verify(tmp_path / "none.onnx")
