"""Says in words what a key file holds, for whoever put it where another file belongs. Pure.

It quotes nothing of the file; of a key it tells only the kind, and whether it is the private half.
That is enough to sort out a mix-up of public and private halves, of the installation's two key
pairs, or of a certificate and its key.
"""

import re
from collections.abc import Iterable
from typing import Final

from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa, x448, x25519
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from shared.pem import InvalidPemError, pem_blocks

MAX_NAMED_KINDS: Final = 3  # a bundle of everything is told by its first blocks

_OPENSSH_PUBLIC_KEY: Final = re.compile(rb"\s*(ssh-|ecdsa-sha2-|sk-)")
_DER_SEQUENCE: Final = b"\x30"  # X.690: what every certificate and key begins with

_KEYS: Final[tuple[tuple[tuple[type, ...], str], ...]] = (
    ((ed25519.Ed25519PrivateKey, ed25519.Ed25519PublicKey), "an Ed25519"),
    ((x25519.X25519PrivateKey, x25519.X25519PublicKey), "an X25519"),
    ((rsa.RSAPrivateKey, rsa.RSAPublicKey), "an RSA"),
    ((ec.EllipticCurvePrivateKey, ec.EllipticCurvePublicKey), "an EC"),
    ((ed448.Ed448PrivateKey, ed448.Ed448PublicKey), "an Ed448"),
    ((x448.X448PrivateKey, x448.X448PublicKey), "an X448"),
    ((dsa.DSAPrivateKey, dsa.DSAPublicKey), "a DSA"),
)
_LABELS: Final = {
    "CERTIFICATE": "a certificate",
    "X509 CERTIFICATE": "a certificate",
    "TRUSTED CERTIFICATE": "a certificate",
    "CERTIFICATE REQUEST": "a certificate request",
    "NEW CERTIFICATE REQUEST": "a certificate request",
    "X509 CRL": "a CRL",
    "OPENSSH PRIVATE KEY": "an OpenSSH private key",
    "ENCRYPTED PRIVATE KEY": "a private key with a password",
    "EC PARAMETERS": "parameters of a curve",
}


def what_it_holds(content: bytes) -> str:
    """Return what a file holds, as `an Ed25519 public key`; completes the sentence "it holds"."""
    try:
        blocks = pem_blocks(content)
    except InvalidPemError:
        return "PEM that is cut off or damaged"
    kinds = dict.fromkeys(_of_block(block.label, block.pem) for block in blocks)
    if len(blocks) > 1 and len(kinds) == 1:
        return f"{len(blocks)} times {next(iter(kinds))}"
    return _joined(kinds) if kinds else _without_blocks(content)


def _joined(kinds: Iterable[str]) -> str:
    named = list(kinds)
    shown, more = named[:MAX_NAMED_KINDS], named[MAX_NAMED_KINDS:]
    return ", ".join(shown) + (" and more" if more else "")


def _of_block(label: str, pem: bytes) -> str:
    if label in _LABELS:
        return _LABELS[label]
    if label.endswith("PRIVATE KEY"):
        return _of_private_key(pem)
    if label.endswith("PUBLIC KEY"):
        return _of_public_key(pem)
    return "PEM of another kind"


def _of_private_key(pem: bytes) -> str:
    try:
        key: object = load_pem_private_key(pem, password=None)
    except TypeError:  # the library's way to ask for a password
        return "a private key with a password"
    except Exception:  # noqa: BLE001 - what the library raises depends on which byte is wrong
        return "a private key that cannot be read"
    return f"{_algorithm(key)} private key"


def _of_public_key(pem: bytes) -> str:
    try:
        key: object = load_pem_public_key(pem)
    except Exception:  # noqa: BLE001 - what the library raises depends on which byte is wrong
        return "a public key that cannot be read"
    return f"{_algorithm(key)} public key"


def _algorithm(key: object) -> str:
    return next((words for kinds, words in _KEYS if isinstance(key, kinds)), "another kind of")


def _without_blocks(content: bytes) -> str:
    if not content.strip():
        return "nothing: it is empty"
    if _OPENSSH_PUBLIC_KEY.match(content):
        return "an OpenSSH public key"
    return "binary DER, not PEM" if content.startswith(_DER_SEQUENCE) else "no PEM"
