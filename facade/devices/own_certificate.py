"""The facade's own certificate, followed by its chain, and its key, as PEM files hold them."""

from typing import Final

from cryptography.exceptions import InternalError, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL import SSL, crypto

from shared.pem import load_certificates, private_key_block

_SERVER_KEYS: Final = (RSAPrivateKey, EllipticCurvePrivateKey, Ed25519PrivateKey, Ed448PrivateKey)
# What `present` raises for files that cannot be used.
UNUSABLE: Final = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    InternalError,
    SSL.Error,
    crypto.Error,
)


def load_private_key(pem: bytes) -> PrivateKeyTypes:
    """Return the first private key of a file, which has no password; raise one of `UNUSABLE`."""
    return load_pem_private_key(private_key_block(pem).pem, password=None)


def present(context: SSL.Context, certificate: bytes, key: bytes) -> None:
    """Make the context present the certificate; raise one of `UNUSABLE`."""
    leaf, *chain = load_certificates(certificate)
    context.use_certificate(leaf)
    for each in chain:
        context.add_extra_chain_cert(each)
    private_key = load_private_key(key)
    if not isinstance(private_key, _SERVER_KEYS):
        raise TypeError("not a key that a server signs with")
    context.use_privatekey(private_key)
    context.check_privatekey()


def belong_together(certificate: bytes, key: bytes) -> bool:
    """Tell whether a TLS server can use the certificate with the private key."""
    try:
        present(SSL.Context(SSL.TLS_SERVER_METHOD), certificate, key)
    except Exception:  # noqa: BLE001 - what the library raises depends on which byte is wrong
        return False
    return True
