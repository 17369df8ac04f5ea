"""Whom we believe about servers, as their client, on every version of Python.

`ssl.create_default_context` changed with Python 3.13: since then a chain may end at any certificate
that is trusted, and certificates have to have all that RFC 5280 asks for. The first is what people
mean who trust an intermediate, or a server's own certificate. The second refuses CAs that companies
have had for years. So here the first holds and the second does not, whatever Python says.
"""

import ssl
from collections.abc import Iterable
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

# X509_V_FLAG_PARTIAL_CHAIN: a chain may end at any trusted certificate. Names, times, purposes and
# signatures up to that one are verified as always.
_FLAGS: Final = (
    ssl.VerifyFlags.VERIFY_X509_TRUSTED_FIRST | ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
)


def client_tls(beside_the_systems: Iterable[x509.Certificate] = ()) -> ssl.SSLContext:
    """Return a context that believes the system's authorities, and these certificates.

    Reading the system's authorities takes tens of milliseconds: for a thread.
    """
    context = ssl.create_default_context()
    return _believing(context, beside_the_systems)


def client_tls_of(certificates: Iterable[x509.Certificate]) -> ssl.SSLContext:
    """Return a context that believes these certificates alone."""
    return _believing(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), certificates)


def _believing(context: ssl.SSLContext, certificates: Iterable[x509.Certificate]) -> ssl.SSLContext:
    context.verify_flags = _FLAGS
    # A server could ask for one handshake after the other, each some milliseconds of our processor.
    context.options |= ssl.OP_NO_RENEGOTIATION
    der = b"".join(each.public_bytes(Encoding.DER) for each in certificates)
    if der:
        context.load_verify_locations(cadata=der)
    return context
