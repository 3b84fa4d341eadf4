"""Signatures: keys and verdicts of openssl where it is installed, forgeries, wrong keys."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from lipdeploy.cli import main
from lipdeploy.core.content_hash import RECORD_KEY, SIGNATURE_KEY, with_entries
from lipdeploy.core.errors import InputError, VerificationError
from lipdeploy.core.record import record_from_text, signature_from_text, signed_bytes
from lipdeploy.runtime.ed25519 import load_private_key, load_public_key, signed
from lipdeploy.runtime.model_file import read_model
from lipdeploy.runtime.session import check_level, open_session
from tests.runtime.conftest import save_tiny, tiny_manifest

PrivateKey = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey
OPENSSL = shutil.which("openssl")


def private_pem(
    path: Path, key: PrivateKey, encryption: KeySerializationEncryption | None = None
) -> Path:
    form = PrivateFormat.PKCS8
    path.write_bytes(key.private_bytes(Encoding.PEM, form, encryption or NoEncryption()))
    return path


def public_pem(path: Path, key: PrivateKey) -> Path:
    form = PublicFormat.SubjectPublicKeyInfo
    path.write_bytes(key.public_key().public_bytes(Encoding.PEM, form))
    return path


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    """A key pair of another implementation where there is one."""
    private, public = tmp_path / "key.pem", tmp_path / "pub.pem"
    if OPENSSL is None:
        key = ed25519.Ed25519PrivateKey.generate()
        return private_pem(private, key), public_pem(public, key)
    make = [OPENSSL, "genpkey", "-algorithm", "ed25519", "-out", str(private)]
    subprocess.run(make, check=True, capture_output=True)
    pick = [OPENSSL, "pkey", "-in", str(private), "-pubout", "-out", str(public)]
    subprocess.run(pick, check=True, capture_output=True)
    return private, public


def entries(path: Path) -> tuple[str, str]:
    standing = read_model(path).standing
    return standing.record_text or "", standing.signature_text or ""


def sign(path: Path, key: Path) -> None:
    record, _ = entries(path)
    signature = signed(record, load_private_key(key))
    rewrite(path, record, signature)


def rewrite(path: Path, record: str, signature: str) -> None:
    data = with_entries(path.read_bytes(), {RECORD_KEY: record, SIGNATURE_KEY: signature})
    path.write_bytes(data)


def trusted(path: Path, *public: Path) -> None:
    with open_session(path) as session:
        check_level(session, unverified=False, trust=public)


def test_a_signed_model_is_trusted_and_signatures_are_ignored_unasked(
    model_path: Path, keys: tuple[Path, Path], tmp_path: Path
) -> None:
    other = public_pem(tmp_path / "other.pem", ed25519.Ed25519PrivateKey.generate())
    trusted(model_path)
    sign(model_path, keys[0])
    trusted(model_path)
    trusted(model_path, keys[1])
    trusted(model_path, other, keys[1])
    with pytest.raises(VerificationError, match=r"no signature of its record by any .*other\.pem"):
        trusted(model_path, other)


@pytest.mark.skipif(OPENSSL is None, reason="openssl is not installed")
def test_openssl_accepts_our_signature(
    model_path: Path, keys: tuple[Path, Path], tmp_path: Path
) -> None:
    sign(model_path, keys[0])
    record, text = entries(model_path)
    (tmp_path / "message").write_bytes(signed_bytes(record))
    (tmp_path / "signature").write_bytes(bytes.fromhex(signature_from_text(text).signature))
    assert OPENSSL is not None
    check = [OPENSSL, "pkeyutl", "-verify", "-pubin", "-inkey", str(keys[1]), "-rawin", "-in"]
    done = subprocess.run(
        [*check, str(tmp_path / "message"), "-sigfile", str(tmp_path / "signature")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def forged_record(path: Path) -> None:
    """Valid for this file, but not what was signed."""
    record, signature = entries(path)
    forged = dataclasses.replace(record_from_text(record), frames=10**6).to_text()
    rewrite(path, forged, signature)


def no_signature(path: Path) -> None:
    path.write_bytes(with_entries(path.read_bytes(), {RECORD_KEY: entries(path)[0]}))


def cut_signature(path: Path) -> None:
    record, signature = entries(path)
    rewrite(path, record, signature[:-40])


def short_signature(path: Path) -> None:
    record, text = entries(path)
    found = signature_from_text(text)
    rewrite(path, record, dataclasses.replace(found, signature=found.signature[:-2]).to_text())


def other_signature(path: Path) -> None:
    record, text = entries(path)
    found = signature_from_text(text)
    flipped = f"{int(found.signature[:2], 16) ^ 1:02x}" + found.signature[2:]
    rewrite(path, record, dataclasses.replace(found, signature=flipped).to_text())


def key_of_the_file_itself(path: Path) -> None:
    """Signed by an attacker whose own key the file names."""
    record, _ = entries(path)
    rewrite(path, record, signed(record, ed25519.Ed25519PrivateKey.generate()))


def without_prefix(path: Path) -> None:
    """A signature of the same text for another purpose does not count."""
    record, text = entries(path)
    key = load_private_key(path.with_name("key.pem"))
    bare = key.sign(record.encode()).hex()
    rewrite(path, record, dataclasses.replace(signature_from_text(text), signature=bare).to_text())


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (forged_record, "no signature of its record by any trusted key"),
        (no_signature, "has no signature"),
        (cut_signature, "a signature that cannot be read"),
        (short_signature, "not a whole Ed25519 signature"),
        (other_signature, "by any trusted key"),
        (key_of_the_file_itself, "by any trusted key"),
        (without_prefix, "by any trusted key"),
    ],
)
def test_what_is_not_signed_by_a_trusted_key_is_refused(
    model_path: Path,
    keys: tuple[Path, Path],
    damage: Callable[[Path], None],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    sign(model_path, keys[0])
    damage(model_path)
    source = ["--source", "test://scene?duration=100ms&size=64x48", "--sink", "null"]
    args = ["stream", "--model", str(model_path), *source]
    assert main([*args, "--trust", str(keys[1])]) == 3
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
    assert main(args) == 0


def test_record_and_signature_of_another_file(
    model_path: Path, keys: tuple[Path, Path], tmp_path: Path
) -> None:
    sign(model_path, keys[0])
    evil = save_tiny(tmp_path / "evil.onnx", tiny_manifest(), scale=100.0)
    rewrite(evil, *entries(model_path))
    with pytest.raises(VerificationError, match="changed after it was verified"):
        trusted(evil, keys[1])


def test_keys_that_cannot_be_used(tmp_path: Path, keys: tuple[Path, Path]) -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    curve = ec.generate_private_key(ec.SECP256R1())
    text = tmp_path / "text.pem"
    text.write_text("no key")
    locked = private_pem(tmp_path / "locked.pem", key, BestAvailableEncryption(b"secret"))
    private_cases = [
        (tmp_path / "none.pem", "cannot be read"),
        (tmp_path, "cannot be read"),
        (text, "is not a private key in PEM"),
        (locked, r"is encrypted; decrypt it into the call: openssl pkey"),
        (private_pem(tmp_path / "ec.pem", curve), "is not an Ed25519 key"),
        (keys[1], "is a public key; --sign takes the private one"),
    ]
    public_cases = [
        (tmp_path / "none.pem", "cannot be read"),
        (text, "is not a public key in PEM"),
        (public_pem(tmp_path / "ec_pub.pem", curve), "is not an Ed25519 key"),
        (keys[0], "is a private key; --trust takes the public one"),
    ]
    for path, message in private_cases:
        with pytest.raises(InputError, match=message) as caught:
            load_private_key(path)
        assert "\n" not in str(caught.value)
    for path, message in public_cases:
        with pytest.raises(InputError, match=message) as caught:
            load_public_key(path)
        assert "secret" not in str(caught.value)


WITHOUT_CRYPTOGRAPHY = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "cryptography":
            raise ModuleNotFoundError("blocked", name=name)
sys.meta_path.insert(0, Blocker())
from lipdeploy.cli import main
sys.exit(main())
"""


def test_without_the_package_signatures_need_it_and_nothing_else_does(
    model_path: Path, keys: tuple[Path, Path]
) -> None:
    stream = ["stream", "--model", str(model_path), "--sink", "null", "--source"]
    args = [*stream, "test://scene?duration=100ms&size=64x48"]
    for extra, code in ((["--trust", str(keys[1])], 2), ([], 0)):
        done = subprocess.run(
            [sys.executable, "-c", WITHOUT_CRYPTOGRAPHY, *args, *extra],
            capture_output=True,
            text=True,
            check=False,
            env=os.environ,
        )
        assert done.returncode == code, done.stderr
        if code:
            assert 'pip install "lipdeploy[sign]"' in done.stderr
            assert done.stderr.count("\n") == 1
