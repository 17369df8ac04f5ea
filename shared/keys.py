"""The two key pairs: Ed25519 signs and verifies statements, X25519 seals and opens secrets.

A key's id is the first 16 hexadecimal digits of the SHA-256 of its SubjectPublicKeyInfo, so both
halves of a pair have the same id. A PEM file may hold several keys while one is being rotated.
"""

import hashlib
from collections.abc import Callable
from typing import Final, TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from shared.outside_bytes import Party, reads_bytes_of
from shared.pem import InvalidPemError, PemBlock, pem_blocks
from shared.pem_contents import what_it_holds
from shared.safe_message import SafeMessage

KEY_ID_HEX_DIGITS: Final = 16

# By the files' names as `control-plane keys` writes them.
_WANTED: Final[dict[type, str]] = {
    Ed25519PrivateKey: "the private half of one statement key, as in statement.private.pem"
    " (Ed25519)",
    Ed25519PublicKey: "public halves of statement keys, as in statement.public.pem (Ed25519)",
    X25519PrivateKey: "private halves of sealing keys, as in sealing.private.pem (X25519)",
    X25519PublicKey: "the public half of one sealing key, as in sealing.public.pem (X25519)",
}

_Key = TypeVar("_Key")


class InvalidKeyFileError(SafeMessage, ValueError):
    """The PEM holds no key of the kind that is wanted, or something beside such keys.

    The message says in words what the file holds and what belongs there; it quotes nothing.
    """


def key_id(key: Ed25519PublicKey | X25519PublicKey) -> str:
    """Return the id of a public key."""
    spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(spki).hexdigest()[:KEY_ID_HEX_DIGITS]


def load_statement_private_key(pem: bytes) -> Ed25519PrivateKey:
    """Return the one Ed25519 private key of the PEM, or raise `InvalidKeyFileError`."""
    return _the_only(pem, _load_private(pem, Ed25519PrivateKey))  # type: ignore[type-abstract]  # for isinstance


@reads_bytes_of(Party.FILE)
def load_statement_public_keys(pem: bytes) -> dict[str, Ed25519PublicKey]:
    """Return the Ed25519 public keys of the PEM by key id, or raise `InvalidKeyFileError`."""
    return {key_id(key): key for key in _load_public(pem, Ed25519PublicKey)}  # type: ignore[type-abstract]  # for isinstance


def load_sealing_public_key(pem: bytes) -> X25519PublicKey:
    """Return the one X25519 public key of the PEM, or raise `InvalidKeyFileError`."""
    return _the_only(pem, _load_public(pem, X25519PublicKey))  # type: ignore[type-abstract]  # for isinstance


@reads_bytes_of(Party.FILE)
def load_sealing_private_keys(pem: bytes) -> dict[str, X25519PrivateKey]:
    """Return the X25519 private keys of the PEM by key id, or raise `InvalidKeyFileError`."""
    return {key_id(key.public_key()): key for key in _load_private(pem, X25519PrivateKey)}  # type: ignore[type-abstract]  # for isinstance


def private_pem(key: Ed25519PrivateKey | X25519PrivateKey) -> bytes:
    """Return the unencrypted PKCS #8 PEM; the file that holds it is 0600."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def public_pem(key: Ed25519PublicKey | X25519PublicKey) -> bytes:
    """Return the SubjectPublicKeyInfo PEM."""
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def _load_private(pem: bytes, kind: type[_Key]) -> list[_Key]:
    return _load_all(pem, kind, lambda block: load_pem_private_key(block, password=None))


def _load_public(pem: bytes, kind: type[_Key]) -> list[_Key]:
    return _load_all(pem, kind, load_pem_public_key)


def _load_all(pem: bytes, kind: type[_Key], load: Callable[[bytes], object]) -> list[_Key]:
    keys = []
    for block in _blocks(pem):
        try:
            key = load(block.pem)
        except Exception:  # noqa: BLE001 - what the library raises depends on which byte is wrong
            key = None  # and its message may quote the file
        if not isinstance(key, kind):
            raise _wrong(pem, kind)
        keys.append(key)
    if not keys:
        raise _wrong(pem, kind)
    return keys


def _blocks(pem: bytes) -> list[PemBlock]:
    try:
        return pem_blocks(pem)
    except InvalidPemError:  # which is said of the whole file
        return []


def _the_only(pem: bytes, keys: list[_Key]) -> _Key:
    if len(keys) != 1:
        raise _wrong(pem, type(keys[0]))
    return keys[0]


def _wrong(pem: bytes, kind: type) -> InvalidKeyFileError:
    wanted = next(words for each, words in _WANTED.items() if issubclass(kind, each))
    return InvalidKeyFileError(f"it holds {what_it_holds(pem)}; what belongs there: {wanted}")
