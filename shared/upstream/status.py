"""What a status that is no success means: one table."""

import aiohttp

from shared.upstream.errors import (
    CredentialRefusedError,
    NotFoundError,
    RateLimitedError,
    ServerError,
    UnexpectedAnswerError,
    UpstreamError,
)
from shared.upstream.retry_after import retry_after_seconds


def error_of_status(response: aiohttp.ClientResponse, *, is_registry: bool) -> UpstreamError:
    """Return the error for an answer. `is_registry`: not of a store that it redirected to."""
    match response.status:
        case 401 | 403 as status if is_registry:
            return CredentialRefusedError("the registry refuses our credential", status=status)
        case 401 | 403 as status:
            return UnexpectedAnswerError(f"the registry's store answered {status}")
        case 404:
            return NotFoundError("the registry does not have it")
        case 429:
            return RateLimitedError(retry_after=retry_after_seconds(response.headers))
        case status if status >= 500:  # noqa: PLR2004 - HTTP's class of server errors
            return ServerError(status, retry_after=retry_after_seconds(response.headers))
        case status:
            return UnexpectedAnswerError(f"the registry answered {status}")
