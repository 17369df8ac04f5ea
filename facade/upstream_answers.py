"""One table: what went wrong on the way to a registry, and what the device is told of it."""

from facade.circuit_breaker import CircuitOpenError
from facade.distribution_errors import (
    BLOB_UNKNOWN,
    CREDENTIAL_REFUSED,
    EGRESS_REFUSED,
    MANIFEST_UNKNOWN,
    WRONG_ANSWER,
    ErrorAnswer,
    rate_limited,
    too_slow,
    unavailable,
)
from facade.held_back import WrongBytesError
from shared.oci import Kind
from shared.sealed_secret import SealedSecretError
from shared.upstream.errors import (
    BrokenBodyError,
    ChallengeError,
    CredentialRefusedError,
    EgressRefusedError,
    NotFoundError,
    RateLimitedError,
    RealmNotAllowedError,
    RedirectRefusedError,
    ServerError,
    UnexpectedAnswerError,
    UpstreamError,
    UpstreamTimeoutError,
)


def answer_to(failure: BaseException | None, kind: Kind) -> ErrorAnswer:  # noqa: PLR0911 - a table
    """Return the device's answer. Upstream's trouble never becomes a 404, its 404 does."""
    match failure:
        case NotFoundError():
            return MANIFEST_UNKNOWN if kind is Kind.MANIFEST else BLOB_UNKNOWN
        case CredentialRefusedError() | SealedSecretError():
            return CREDENTIAL_REFUSED
        case EgressRefusedError() | RealmNotAllowedError() | RedirectRefusedError():
            return EGRESS_REFUSED
        case WrongBytesError() | BrokenBodyError() | UnexpectedAnswerError() | ChallengeError():
            return WRONG_ANSWER
        case RateLimitedError():
            return rate_limited(failure.retry_after)
        case UpstreamTimeoutError():
            return too_slow()
        case CircuitOpenError() | ServerError():
            return unavailable("the registry is away", failure.retry_after)
        case UpstreamError():  # not resolved, not connected, TLS
            return unavailable("the registry cannot be reached")
        case _:  # a download of this machine that ended without a word about the registry
            return unavailable("the download was interrupted")
