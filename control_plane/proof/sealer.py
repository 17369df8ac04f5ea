"""The public half of the sealing key: it seals secrets for the facade, and can open none."""

from uuid import UUID

import attrs
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

from shared.connection import ConnectionDocument, seal_context
from shared.keys import key_id, load_sealing_public_key
from shared.sealed_secret import reference, seal
from shared.secret import Secret


class Sealer:
    """Seals secrets to the facade's key."""

    def __init__(self, public_key: X25519PublicKey) -> None:
        """Hold the public key."""
        self._public_key = public_key
        self._key_id = key_id(public_key)

    @classmethod
    def from_pem(cls, pem: bytes) -> "Sealer":
        """Load the one X25519 public key; raise `shared.keys.InvalidKeyFileError`."""
        return cls(load_sealing_public_key(pem))

    def seal(
        self, connection_id: UUID, document: ConnectionDocument, secret: Secret, *, version: int
    ) -> tuple[ConnectionDocument, bytes]:
        """Return the document that names this version of the secret, and the sealed bytes."""
        context = seal_context(connection_id, document, secret_version=version, key_id=self._key_id)
        sealed = seal(secret, self._public_key, context)
        return attrs.evolve(document, secret=reference(sealed, context)), sealed
