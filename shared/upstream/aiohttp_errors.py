"""aiohttp's errors, turned into ours: in our own words, without what upstream sent."""

import ssl

import aiohttp

from shared.upstream.errors import (
    ClosedUnansweredError,
    ConnectError,
    ResolveError,
    Step,
    UnexpectedAnswerError,
    UpstreamError,
    UpstreamTimeoutError,
    WastefulAnswerError,
)
from shared.upstream.framing import TooMuchFramingError
from shared.upstream.tls_failure import failed_handshake, untrusted_certificate


def upstream_error(  # noqa: PLR0911 - a table: one return for each kind of error
    error: Exception,
) -> UpstreamError:
    """Return our error for one of aiohttp's, in our own words."""
    match error:
        case aiohttp.ClientConnectorDNSError():
            return ResolveError("the host's name does not resolve")
        case aiohttp.ClientConnectorCertificateError():
            return untrusted_certificate(error.certificate_error)
        case aiohttp.ClientSSLError() | ssl.SSLError():
            return failed_handshake()
        case aiohttp.ConnectionTimeoutError():
            return UpstreamTimeoutError("no connection to the host in time", step=Step.CONNECT)
        case TooMuchFramingError():
            return WastefulAnswerError(str(error))
        case TimeoutError():  # aiohttp's own are a TimeoutError too
            return UpstreamTimeoutError("the host did not answer in time")
        case aiohttp.ClientConnectorError():
            return ConnectError("the host does not accept a connection")
        case aiohttp.ClientResponseError() | aiohttp.InvalidURL() | aiohttp.ClientPayloadError():
            return UnexpectedAnswerError("the host does not answer in HTTP")
        case _:
            return ClosedUnansweredError("the host closed the connection before it answered")
