"""Why the admin API did not answer a shell: the address, the cause, and what mends it. Pure.

It shows no text of a library's exception, and nothing of a certificate or an answer.
"""

import os
import ssl
from pathlib import Path
from typing import Final

import aiohttp

# OpenSSL's verification results (x509_vfy.h) that only a CA file mends.
_UNKNOWN_ISSUER: Final = frozenset({2, 18, 19, 20, 21})
_NOT_YET_VALID, _EXPIRED = 9, 10
_OTHER_HOST: Final = frozenset({62, 64})  # hostname, address
_NO_TLS: Final = frozenset(
    {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG"}
)


def why_no_answer(error: Exception, url: str, ca_file: Path | None) -> str:
    """Return why the API at a URL did not answer, and what mends that."""
    return f"no answer from the control plane at {url}: {_cause(error, url, ca_file)}"


def not_the_api(status: int, url: str) -> str:
    """Return what is wrong with an answer that is not of the API."""
    return f"what answers at {url} ({status}) is not the control plane: is CONTROL_PLANE_URL right?"


def not_as_expected(expected: str, url: str) -> str:
    """Return what is wrong with JSON that is not of the API, or of one that is too old."""
    return (
        f"what answers at {url} is not the control plane: {expected}; is CONTROL_PLANE_URL right?"
    )


def _cause(error: Exception, url: str, ca_file: Path | None) -> str:
    match error:
        case aiohttp.ClientConnectorCertificateError():
            cause = _certificate_cause(error.certificate_error, ca_file)
        case aiohttp.ClientConnectorDNSError():
            cause = "its name does not resolve; is CONTROL_PLANE_URL right?"
        case aiohttp.ClientSSLError():
            cause = _tls_cause(error.os_error)
        case aiohttp.ClientConnectorError():
            cause = f"{_why_not_connected(error.os_error)}; does it run there?"
        case TimeoutError():
            cause = "it took too long"
        case aiohttp.ServerDisconnectedError() | aiohttp.ClientOSError():
            cause = "the connection was closed" + _if_it_speaks_tls(url)
        case aiohttp.ClientResponseError():
            cause = "what answers there speaks no HTTP" + _if_it_speaks_tls(url)
        case aiohttp.ClientPayloadError():
            cause = "the answer ended early"
        case ValueError():
            cause = "the address has characters that no HTTP request has"
        case _:
            cause = "the connection failed"
    return cause


def _why_not_connected(error: OSError) -> str:
    """Return the system's words: those of asyncio are its function's name and a tuple."""
    return os.strerror(error.errno).lower() if error.errno else "no connection"


def _certificate_cause(error: Exception, ca_file: Path | None) -> str:
    code = error.verify_code if isinstance(error, ssl.SSLCertVerificationError) else None
    if code in _UNKNOWN_ISSUER:
        if ca_file is not None:
            return "its certificate is of no CA in the file that CONTROL_PLANE_CA_FILE names"
        return (
            "its certificate is of no CA that this machine knows; CONTROL_PLANE_CA_FILE names the"
            " PEM file of the CA"
        )
    if code in _OTHER_HOST:
        return "its certificate is of another host than CONTROL_PLANE_URL names"
    if code == _EXPIRED:
        return "its certificate has expired"
    if code == _NOT_YET_VALID:
        return "its certificate is not valid yet; is the clock right?"
    return "its certificate is not trusted"


def _tls_cause(error: OSError) -> str:
    if isinstance(error, ssl.SSLError) and error.reason in _NO_TLS:
        return "it speaks no TLS; does CONTROL_PLANE_URL begin with http:// there?"
    return "the TLS handshake failed"


def _if_it_speaks_tls(url: str) -> str:
    if not url.startswith("http://"):
        return ""
    return "; if it speaks TLS, CONTROL_PLANE_URL begins with https://"
