"""TLS for devices: which certificates get through the handshake, and what stands behind it.

OpenSSL verifies chain, times and that a present extended key usage allows a client. What it lets
pass (an absent key usage, a resumed session) is refused on the finished connection, before its
first request is read.
"""

import ssl
from pathlib import Path
from typing import Final

from cryptography import x509

from facade.devices.device_identity import may_authenticate_clients

# A handshake takes two round trips; a slow radio link has at most some seconds.
HANDSHAKE_TIMEOUT_SECONDS: Final = 10.0
_VERSIONS: Final = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


class TlsConfigurationError(Exception):
    """A certificate, key or CA file cannot be used; the message names the setting."""


class RefusedConnectionError(Exception):
    """A finished handshake that is not accepted; the message says why."""


def server_context(
    *, certificate: Path, key: Path, device_ca: Path, minimum: str, device_crl: Path | None = None
) -> ssl.SSLContext:
    """Return the context that requires a device certificate and resumes no session.

    With CRLs, a device whose issuer has no valid one fails the handshake.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _VERSIONS[minimum]
    context.verify_mode = ssl.CERT_REQUIRED
    # A resumed session was seen to accept an expired certificate and to skip the CRL.
    context.num_tickets = 0
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(certificate, key, password="")  # or OpenSSL asks the terminal
    except (ssl.SSLError, OSError) as error:
        message = "FACADE_TLS_CERT_FILE and FACADE_TLS_KEY_FILE: expected a certificate and its key"
        raise TlsConfigurationError(message) from error
    try:
        context.load_verify_locations(device_ca)
    except (ssl.SSLError, OSError) as error:
        message = "FACADE_DEVICE_CA_FILE: expected the PEM certificates of the device CAs"
        raise TlsConfigurationError(message) from error
    if device_crl is not None:
        try:
            context.load_verify_locations(device_crl)
        except (ssl.SSLError, OSError) as error:
            message = "FACADE_DEVICE_CRL_FILE: expected the PEM CRLs of the device CAs"
            raise TlsConfigurationError(message) from error
        # The leaf's issuer alone: CAs are taken out of use by taking them out of the bundle.
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    return context


def presented_certificate(connection: ssl.SSLObject) -> x509.Certificate:
    """Return the certificate of a finished handshake, or raise `RefusedConnectionError`."""
    if connection.session_reused:
        message = "the TLS session was resumed"
        raise RefusedConnectionError(message)
    der = connection.getpeercert(binary_form=True)
    if der is None:
        message = "no certificate was presented"
        raise RefusedConnectionError(message)
    try:
        certificate = x509.load_der_x509_certificate(der)
    except (ValueError, x509.InvalidVersion):
        message = "the certificate does not parse"
        raise RefusedConnectionError(message) from None
    if not may_authenticate_clients(certificate):
        message = "the certificate is not for client authentication"
        raise RefusedConnectionError(message)
    return certificate
