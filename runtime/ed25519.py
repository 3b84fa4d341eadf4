"""Ed25519 signatures of verification records; the one file that needs the package `cryptography`.

Keys are made with openssl:

    openssl genpkey -algorithm ed25519 -out key.pem     # private: signs, stays with you
    openssl pkey -in key.pem -pubout -out pub.pem       # public: goes onto the device
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    load_pem_private_key,
    load_pem_public_key,
)

from lipdeploy.core.errors import InputError, VerificationError
from lipdeploy.core.record import Signature, Standing, signature_from_text, signed_bytes

_LONGEST_KEY = 65536  # bytes
_MAKE_PRIVATE = "openssl genpkey -algorithm ed25519 -out key.pem"


def load_private_key(path: Path) -> Ed25519PrivateKey:
    """Read a private key that is not encrypted.

    Raises:
        InputError: not there, encrypted, or not an Ed25519 private key in PEM.
    """
    text = _read(path)
    if b"PUBLIC KEY" in text:
        raise InputError(f"{path} is a public key; --sign takes the private one")
    try:
        key = load_pem_private_key(text, password=None)
    except TypeError as error:  # how `cryptography` says that a password is needed
        raise InputError(
            f"{path} is encrypted; decrypt it into the call: "
            f"openssl pkey -in {path} | lipdeploy verify MODEL --sign /dev/stdin"
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InputError(
            f"{path} is not a private key in PEM; make one: {_MAKE_PRIVATE}"
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise InputError(f"{path} is not an Ed25519 key; make one: {_MAKE_PRIVATE}")
    return key


def load_public_key(path: Path) -> Ed25519PublicKey:
    """Read a public key.

    Raises:
        InputError: not there, or not an Ed25519 public key in PEM.
    """
    text = _read(path)
    if b"PRIVATE KEY" in text:
        raise InputError(
            f"{path} is a private key; --trust takes the public one: "
            f"openssl pkey -in {path} -pubout -out pub.pem"
        )
    try:
        key = load_pem_public_key(text)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InputError(
            f"{path} is not a public key in PEM; make one: "
            "openssl pkey -in key.pem -pubout -out pub.pem"
        ) from error
    if not isinstance(key, Ed25519PublicKey):
        raise InputError(f"{path} is not an Ed25519 key; --trust takes no other")
    return key


def signed(record_text: str, key: Ed25519PrivateKey) -> str:
    """Text of the signature of a record, for the metadata."""
    public = key.public_key().public_bytes_raw().hex()
    return Signature(public, key.sign(signed_bytes(record_text)).hex()).to_text()


def check_signed(standing: Standing, trusted: Iterable[Path]) -> Path:
    """The first of the trusted keys that signed a file's record.

    The caller checks that the record is valid: a signature says who wrote it, not that it belongs
    to this file.

    Raises:
        InputError: a key that cannot be used.
        VerificationError: no signature, a broken one, or one by no trusted key.
    """
    keys = [(path, load_public_key(path)) for path in trusted]
    if standing.record_text is None or standing.signature_text is None:
        raise VerificationError("has no signature; sign it: lipdeploy verify MODEL --sign key.pem")
    found = signature_from_text(standing.signature_text)
    for path, key in keys:
        try:
            key.verify(bytes.fromhex(found.signature), signed_bytes(standing.record_text))
        except InvalidSignature:
            continue
        return path
    names = ", ".join(str(path) for path, _ in keys)
    raise VerificationError(f"has no signature of its record by any trusted key ({names})")


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_LONGEST_KEY)
    except OSError as error:
        raise InputError(
            f"key {path} cannot be read ({error.strerror}); check --sign or --trust"
        ) from error
