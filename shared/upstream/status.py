"""What a status means that is no success: one table, for every status that HTTP has.

| status | error | why |
|---|---|---|
| 200, 203 | none | |
| 401, 403 of the registry | `CredentialRefusedError` | about our credential |
| 401, 403 of its store | `UnexpectedStatusError` | the store was shown no credential |
| 402, 412, 451 | `PolicyDeniedError` | the content is given to nobody |
| 404 | `NotInRegistryError` | it is not there |
| 410 | `GoneError` | it is not there any more |
| 408, 421, 425 | `NotNowError` | the same request may be repeated |
| 429 | `RateLimitedError` | |
| 5xx | `ServerError` | |
| every other | `UnexpectedStatusError` | our request, or the registry, is odd |
"""

from http import HTTPStatus
from typing import Final

import aiohttp

from shared.upstream.errors import (
    CredentialRefusedError,
    GoneError,
    NotInRegistryError,
    NotNowError,
    PolicyDeniedError,
    RateLimitedError,
    ServerError,
    UnexpectedStatusError,
    UpstreamError,
)
from shared.upstream.retry_after import retry_after_seconds

# 203 is a 200 that a proxy on the way has changed; the bytes are compared with their digest.
SUCCESSES: Final = frozenset({HTTPStatus.OK, HTTPStatus.NON_AUTHORITATIVE_INFORMATION})
# Payment required, a precondition of the registry's own (Harbor's policies), legal reasons.
POLICY_STATUSES: Final = frozenset({402, 412, 451})
# Request timeout, misdirected request (another connection may reach the right server), too early.
NOT_NOW_STATUSES: Final = frozenset({408, 421, 425})
FIRST_SERVER_ERROR: Final = 500


def error_of_status(  # noqa: PLR0911 - a table
    response: aiohttp.ClientResponse, *, is_registry: bool
) -> UpstreamError:
    """Return the error for an answer. `is_registry`: the registry answered, not its store."""
    who = "registry" if is_registry else "registry's store"
    match response.status:
        case 401 | 403 as status if is_registry:
            return CredentialRefusedError("the registry refuses our credential", status=status)
        case status if status in POLICY_STATUSES:
            return PolicyDeniedError(status)
        case HTTPStatus.NOT_FOUND:
            return NotInRegistryError("the registry does not have it")
        case HTTPStatus.GONE:
            return GoneError("the registry has it no longer")
        case status if status in NOT_NOW_STATUSES:
            return NotNowError(status, retry_after=retry_after_seconds(response.headers))
        case HTTPStatus.TOO_MANY_REQUESTS:
            return RateLimitedError(retry_after=retry_after_seconds(response.headers))
        case status if status >= FIRST_SERVER_ERROR:
            return ServerError(status, retry_after=retry_after_seconds(response.headers))
        case status:
            return UnexpectedStatusError(f"the {who} answered {status}", status=status)
