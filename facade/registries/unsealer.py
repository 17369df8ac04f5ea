"""Opens a connection's sealed secret, at first use and never before.

This is the only place in the system where a stored secret is plain. Several private keys serve
while one is being rotated. The connection's document names the one that opens its secret.
"""

from collections.abc import Mapping

from attrs import field, frozen
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from shared.approved_connection import ApprovedConnection
from shared.sealed_secret import SUITE_NAME, SealedSecretError, open_sealed
from shared.secret import Secret


class NoSealingKeyError(SealedSecretError):
    """The facade does not have the key that the secret is sealed to. It may come later."""


@frozen
class Unsealer:
    """Holds the sealing key's private half."""

    _private_keys: Mapping[str, X25519PrivateKey] = field(repr=False)

    def open(self, connection: ApprovedConnection) -> Secret:
        """Return the connection's secret; raise `SealedSecretError`."""
        reference, sealed = connection.document.secret, connection.sealed_secret
        if reference is None or sealed is None:
            raise SealedSecretError("the connection has no secret")
        private_key = self._private_keys.get(reference.key_id)
        if private_key is None:
            raise NoSealingKeyError(f"no private key {reference.key_id} is configured")
        if reference.suite != SUITE_NAME:
            raise SealedSecretError("sealed with an unknown suite")
        return open_sealed(sealed, private_key, connection.seal_context)
