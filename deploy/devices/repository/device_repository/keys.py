"""Keys in files: Ed25519, PEM. A public half goes into metadata, the other stays with a person."""

from pathlib import Path

from attrs import frozen
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)
from securesystemslib.signer import CryptoSigner, Key, Signer, SSlibKey


class KeyFileError(Exception):
    """A file that holds no Ed25519 key."""


@frozen
class KeyFiles:
    """Where the halves of a key lie."""

    private: Path
    public: Path


def make_key(folder: Path, name: str) -> KeyFiles:
    """Write a new key; FileExistsError if there is one of that name."""
    folder.mkdir(parents=True, exist_ok=True)
    files = KeyFiles(folder / f"{name}.private.pem", folder / f"{name}.public.pem")
    key = Ed25519PrivateKey.generate()
    files.private.touch(mode=0o600, exist_ok=False)
    files.private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    files.public.write_bytes(
        key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    return files


def read_public(path: Path) -> Key:
    """Return what verifies."""
    try:
        return SSlibKey.from_crypto(load_pem_public_key(path.read_bytes()))
    except (OSError, ValueError) as error:
        raise KeyFileError(f"{path} holds no public key") from error


def read_signer(path: Path) -> Signer:
    """Return what signs."""
    try:
        key = load_pem_private_key(path.read_bytes(), None)
        if not isinstance(key, Ed25519PrivateKey):
            raise KeyFileError(f"{path} holds no Ed25519 key")
        return CryptoSigner(key)
    except (OSError, ValueError, TypeError) as error:
        raise KeyFileError(f"{path} holds no private key without a password") from error
