"""Why TLS with a registry failed, in our own words, and what an operator may do about it."""

import ssl
from typing import Final

from shared.upstream.errors import TlsError

_OWN_CA: Final = (
    "if a CA of your own issued it, give that CA as the connection's ca_certificate"
    " (--ca-certificate FILE)"
)
_OTHER_NAME: Final = "connect the registry by a name that its certificate has"
_OUT_OF_TIME: Final = "the registry needs another certificate, if the clock here is right"
_NO_TLS: Final = "if the registry has no TLS, say so with plain_http (--plain-http)"
_PEM: Final = "give ca_certificate (--ca-certificate FILE) as certificates in PEM"

# OpenSSL's X509_V_ERR_*, of its manual page X509_STORE_CTX_get_error.
_ADVICE: Final = {
    9: _OUT_OF_TIME,  # CERT_NOT_YET_VALID
    10: _OUT_OF_TIME,  # CERT_HAS_EXPIRED
    18: _OWN_CA,  # DEPTH_ZERO_SELF_SIGNED_CERT
    19: _OWN_CA,  # SELF_SIGNED_CERT_IN_CHAIN
    20: _OWN_CA,  # UNABLE_TO_GET_ISSUER_CERT_LOCALLY
    21: _OWN_CA,  # UNABLE_TO_VERIFY_LEAF_SIGNATURE
    62: _OTHER_NAME,  # HOSTNAME_MISMATCH
    64: _OTHER_NAME,  # IP_ADDRESS_MISMATCH
}


def untrusted_certificate(error: Exception) -> TlsError:
    """Return our error for a certificate that the handshake refused."""
    if isinstance(error, ssl.SSLCertVerificationError):
        # OpenSSL's own words and the name that we asked for; nothing of the certificate.
        message = f"the host's certificate is not trusted: {error.verify_message}"
        return TlsError(message, advice=_ADVICE.get(error.verify_code, ""))
    return TlsError("the host's certificate is not trusted")


def failed_handshake() -> TlsError:
    """Return our error for a handshake that failed before any certificate was refused."""
    return TlsError("the TLS handshake with the host failed", advice=_NO_TLS)


def unreadable_ca() -> TlsError:
    """Return our error for a connection whose own CA is no certificate."""
    return TlsError("the connection's CA certificate cannot be read", advice=_PEM)
