"""TLS for devices: which certificates pass the handshake, and with which OpenSSL.

OpenSSL verifies the chain, the times, and, if there is an extended key usage, that it allows a
client. A certificate without one passes, and is refused on the finished connection, before its
first request is read. The device then sees a reset. A refusing verify callback of pyOpenSSL cannot
name an error: OpenSSL would send the alert `internal_error`, in TLS 1.2 and 1.3, which blames the
facade (docs/decisions/devices.md).

This is cryptography's own OpenSSL, through pyOpenSSL. It encrypts AES-GCM twice as fast as the one
that a distribution's Python is linked with, and is pinned and updated with the other wheels.
"""

from collections.abc import Iterable
from functools import cache
from typing import Final

from attrs import define
from cryptography import x509
from OpenSSL import SSL, crypto

from facade.devices.handshake_end import Ending, HandshakeEnd
from facade.devices.own_certificate import UNUSABLE, present
from facade.devices.trust_store import believe
from facade.errors import FacadeError, UnusableSettingError
from shared.pem import InvalidPemError

# A handshake takes two round trips, which are some seconds at most on a slow radio link.
HANDSHAKE_TIMEOUT_SECONDS: Final = 10.0
# Steps of OpenSSL's state machine after a connection's handshake, which has messages of a fixed
# number. A KeyUpdate takes at most 6, a refused renegotiation 8. Devices update keys after 100 GiB
# and more, if at all. One call answers everything that came, so a device that sends nothing else
# would block the loop (docs/decisions/devices.md).
MAX_HANDSHAKE_STEPS: Final = 1000
_VERSIONS: Final = {"1.2": SSL.TLS1_2_VERSION, "1.3": SSL.TLS1_3_VERSION}
# For TLS 1.2, what Python's own `ssl` allows: forward secrecy, and no CBC before AEAD.
_TLS_1_2_CIPHERS: Final = (
    b"@SECLEVEL=2:ECDH+AESGCM:ECDH+CHACHA20:ECDH+AES:DHE+AES:!aNULL:!eNULL:!aDSS:!SHA1:!AESCCM"
)
_OPTIONS: Final = (
    SSL.OP_ALL
    | SSL.OP_NO_TICKET
    | SSL.OP_NO_COMPRESSION
    | SSL.OP_NO_RENEGOTIATION
    | SSL.OP_IGNORE_UNEXPECTED_EOF  # most devices just close; a request ends at its blank line
    | SSL.OP_SINGLE_DH_USE
    | SSL.OP_SINGLE_ECDH_USE
)
_ENABLE_PARTIAL_WRITE: Final = 0x1  # SSL_MODE_ENABLE_PARTIAL_WRITE, ssl.h; pyOpenSSL's default
_HTTP: Final = b"http/1.1"
_NONE: Final = Ending(HandshakeEnd.NO_CERTIFICATE, "no certificate was presented and verified")
NO_CLIENT: Final = Ending(
    HandshakeEnd.WRONG_PURPOSE, "the certificate is not for client authentication", depth=0
)


class TlsConfigurationError(UnusableSettingError):
    """A certificate, key or CA file cannot be used; the message names the setting."""


class RefusedConnectionError(FacadeError):
    """A finished handshake that is not accepted; the message says why."""

    def __init__(self, ending: Ending) -> None:
        """Keep the reason beside the words."""
        super().__init__(ending.words)
        self.ending = ending


@define(eq=False)
class HandshakeNotes:
    """What is known of a connection's handshake while it goes on, and after it failed."""

    steps: int = 0  # of OpenSSL's state machine, since the handshake was finished
    certificate_error: tuple[int, int] | None = None  # X509_V_ERR_*, and the depth in the chain


def notes_of(connection: SSL.Connection) -> HandshakeNotes:
    """Return the notes of a connection."""
    notes = connection.get_app_data()
    if not isinstance(notes, HandshakeNotes):
        notes = HandshakeNotes()
        connection.set_app_data(notes)
    return notes


def server_context(
    *,
    certificate: bytes,
    key: bytes,
    device_cas: Iterable[x509.Certificate],
    minimum: str,
    crls: Iterable[x509.CertificateRevocationList] | None = None,
) -> SSL.Context:
    """Return the context that requires a device certificate and resumes no session.

    The facade's certificate, followed by its chain, and its key are PEM. With CRLs, the handshake
    fails if the device's issuer has no valid one. Raises `TlsConfigurationError`.
    """
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(_VERSIONS[minimum])
    context.set_cipher_list(_TLS_1_2_CIPHERS)
    context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, _note_verification)
    # A resumed session accepts an expired certificate and skips the CRL.
    # See docs/decisions/devices.md.
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_options(_OPTIONS)
    context.set_alpn_select_callback(_http_only)
    # A connection that waits keeps no record buffers, which are 34 KiB each.
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    # One call encrypts and sends all that the kernel takes, instead of a record of 16 KiB.
    context.clear_mode(_ENABLE_PARTIAL_WRITE)
    try:
        present(context, certificate, key)
    except UNUSABLE as error:
        message = "FACADE_TLS_CERT_FILE and FACADE_TLS_KEY_FILE: expected a certificate and its key"
        reason = f": {error}" if isinstance(error, InvalidPemError) else ""
        raise TlsConfigurationError(f"{message}{reason}") from error
    try:
        believe(context, device_cas, crls)
    except Exception as error:
        raise TlsConfigurationError("FACADE_DEVICE_CA_FILE: OpenSSL takes none of it") from error
    return context


def count_steps(connection: SSL.Connection) -> None:
    """Count OpenSSL's steps from now on: of a connection whose handshake is finished.

    To count the handshake's own took a twentieth of a device's session
    (docs/decisions/devices.md). So the connection goes on with another context: OpenSSL looks there
    whom to tell of a step. All else it took from the first one.
    """
    connection.set_context(_after_handshake())


@cache
def _after_handshake() -> SSL.Context:
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_info_callback(_count_step)
    return context


def chain_bytes(connection: SSL.Connection) -> tuple[list[bytes], list[bytes]]:
    """Return, as DER, the chain that OpenSSL verified, the leaf first, and the CAs that came.

    Raises `RefusedConnectionError` if it verified none: a resumed session would have none.
    """
    verified, brought = connection.get_verified_chain(), connection.get_peer_cert_chain()
    if not verified:
        raise RefusedConnectionError(_NONE)
    return _der_of(verified), _der_of(brought or [])


def _der_of(certificates: Iterable[crypto.X509]) -> list[bytes]:
    return [crypto.dump_certificate(crypto.FILETYPE_ASN1, each) for each in certificates]


def _http_only(
    connection: SSL.Connection,  # noqa: ARG001 - pyOpenSSL's signature
    offered: list[bytes],
) -> bytes | SSL._NoOverlappingProtocols:  # it has no other name
    """Choose HTTP/1.1. A device that does not offer it goes on without ALPN."""
    return _HTTP if _HTTP in offered else SSL.NO_OVERLAPPING_PROTOCOLS


def _count_step(
    connection: SSL.Connection,
    where: int,  # noqa: ARG001 - pyOpenSSL's signature
    result: int,  # noqa: ARG001 - pyOpenSSL's signature
) -> None:
    """Drop what a device sends once it has used up its steps."""
    notes = notes_of(connection)
    notes.steps += 1
    if notes.steps > MAX_HANDSHAKE_STEPS:
        connection.set_shutdown(SSL.RECEIVED_SHUTDOWN)


def _note_verification(
    connection: SSL.Connection,
    certificate: crypto.X509,  # noqa: ARG001 - pyOpenSSL's signature
    error: int,
    depth: int,
    is_good: int,
) -> bool:
    """Note what OpenSSL finds wrong with a chain: for the log. This decides nothing."""
    if not is_good:
        notes_of(connection).certificate_error = (error, depth)
    return bool(is_good)
