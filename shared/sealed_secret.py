"""Seals a secret to the facade's key, bound to who may be shown it, and opens it again.

This is HPKE (RFC 9180) in base mode. The `info` input carries the seal context, so bytes that were
moved to another connection, host, realm, network or key do not open. `cryptography` gives no reason
when they do not, and neither does this module.
"""

import hashlib
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from shared.connection import SealContext, SealedSecretReference
from shared.keys import key_id
from shared.safe_message import SafeMessage
from shared.secret import Secret

SUITE_NAME: Final = "HPKE-X25519-HKDF-SHA256-CHACHA20POLY1305"
MAX_SECRET_BYTES: Final = 16 * 1024  # a Google service account key is about 2.4 KiB
SEAL_OVERHEAD_BYTES: Final = 48  # an X25519 encapsulated key and a Poly1305 tag

_SUITE: Final = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)


class SealedSecretError(SafeMessage, ValueError):
    """The sealed bytes do not open here: another key, another context, or changed bytes."""


def seal(secret: Secret, public_key: X25519PublicKey, context: SealContext) -> bytes:
    """Return the sealed bytes of a secret of at most `MAX_SECRET_BYTES`."""
    plaintext = secret.reveal()
    if len(plaintext) > MAX_SECRET_BYTES:
        raise ValueError(f"a secret has at most {MAX_SECRET_BYTES} bytes")
    if context.key_id != key_id(public_key):
        raise ValueError("the seal context names another key")
    return _SUITE.encrypt(plaintext, public_key, info=context.to_bytes())


def reference(sealed: bytes, context: SealContext) -> SealedSecretReference:
    """Return what a document says of these sealed bytes."""
    return SealedSecretReference(
        version=context.secret_version,
        key_id=context.key_id,
        suite=SUITE_NAME,
        sha256=hashlib.sha256(sealed).hexdigest(),
    )


def open_sealed(sealed: bytes, private_key: X25519PrivateKey, context: SealContext) -> Secret:
    """Return the secret; raise `SealedSecretError` if it does not open."""
    if not SEAL_OVERHEAD_BYTES <= len(sealed) <= MAX_SECRET_BYTES + SEAL_OVERHEAD_BYTES:
        raise SealedSecretError("the sealed secret has an impossible length")
    try:
        return Secret(_SUITE.decrypt(sealed, private_key, info=context.to_bytes()))
    except InvalidTag:
        raise SealedSecretError(
            "the sealed secret does not open with this key for this connection"
        ) from None
