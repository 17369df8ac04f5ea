"""What requests to registries, and for tokens, are counted as: small fixed sets."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from shared.upstream.errors import (
    ChallengeError,
    ClosedUnansweredError,
    ConnectError,
    CredentialRefusedError,
    EgressRefusedError,
    NotNowError,
    PolicyDeniedError,
    RateLimitedError,
    RealmNotAllowedError,
    RedirectRefusedError,
    ResolveError,
    ServerError,
    TlsError,
    TokenExchangeError,
    UnexpectedAnswerError,
    UpstreamError,
    UpstreamTimeoutError,
)


class RequestOutcome(StrEnum):
    """What became of one request: to a registry, to where it points, or to a token endpoint."""

    OK = "ok"  # 2xx
    REDIRECT = "redirect"  # 3xx
    UNAUTHORIZED = "unauthorized"  # 401: the first one asks for a login
    FORBIDDEN = "forbidden"  # 403
    NOT_FOUND = "not_found"  # 404, 410
    RATE_LIMITED = "rate_limited"  # 429
    CLIENT_ERROR = "client_error"  # any other 4xx
    SERVER_ERROR = "server_error"  # 5xx
    NOT_RESOLVED = "not_resolved"  # the name has no address
    UNREACHABLE = "unreachable"  # no connection
    TLS = "tls"
    CLOSED = "closed"  # before an answer
    TIMEOUT = "timeout"
    NOT_ALLOWED = "not_allowed"  # the facade's own rule: nothing was sent
    NONSENSE = "nonsense"  # no HTTP
    LEFT = "left"  # whoever asked left before the answer

    @classmethod
    def of(cls, ended: int | BaseException) -> "RequestOutcome":
        """Return what a status, or a failure, is counted as."""
        return _of_status(ended) if isinstance(ended, int) else _of_failure(ended)


class TokenFailure(StrEnum):
    """Why no token or credential was given."""

    REFUSED = "refused"  # the credential, or the scope
    RATE_LIMITED = "rate_limited"
    SERVER_ERROR = "server_error"
    UNREACHABLE = "unreachable"
    TLS = "tls"
    TIMEOUT = "timeout"
    NOT_ALLOWED = "not_allowed"  # the endpoint: by the connection's realms, or by address
    NONSENSE = "nonsense"  # an answer that is no token
    OTHER = "other"  # the sealed secret, or what nobody foresaw

    @classmethod
    def of(cls, error: BaseException) -> "TokenFailure":
        """Return what a failure is counted as."""
        return next(
            (each for kinds, each in _TOKEN_FAILURES if isinstance(error, kinds)), cls.OTHER
        )


class SegmentOutcome(StrEnum):
    """What became of a stream that brought a segment beside others of its blob."""

    COME = "come"
    NOT_NEEDED = "not_needed"  # others had brought it, or nobody wants the blob any more
    SLOW = "slow"  # far slower than the others
    OTHER_ANSWER = "other_answer"  # that did not fit those of the others
    FAILED = "failed"


_Kinds = tuple[type[BaseException], ...]
_REQUEST_FAILURES: Final[Sequence[tuple[_Kinds, RequestOutcome]]] = (
    ((ResolveError,), RequestOutcome.NOT_RESOLVED),
    ((ClosedUnansweredError,), RequestOutcome.CLOSED),
    ((ConnectError,), RequestOutcome.UNREACHABLE),
    ((TlsError,), RequestOutcome.TLS),
    ((UpstreamTimeoutError,), RequestOutcome.TIMEOUT),
    ((EgressRefusedError,), RequestOutcome.NOT_ALLOWED),
    ((UpstreamError,), RequestOutcome.NONSENSE),
)
_TOKEN_FAILURES: Final[Sequence[tuple[_Kinds, TokenFailure]]] = (
    ((CredentialRefusedError, PolicyDeniedError), TokenFailure.REFUSED),
    ((RateLimitedError,), TokenFailure.RATE_LIMITED),
    ((ServerError, NotNowError), TokenFailure.SERVER_ERROR),
    ((ResolveError, ConnectError), TokenFailure.UNREACHABLE),
    ((TlsError,), TokenFailure.TLS),
    ((UpstreamTimeoutError,), TokenFailure.TIMEOUT),
    ((EgressRefusedError, RealmNotAllowedError, RedirectRefusedError), TokenFailure.NOT_ALLOWED),
    ((ChallengeError, TokenExchangeError, UnexpectedAnswerError), TokenFailure.NONSENSE),
)
_OF_STATUS: Final = {
    401: RequestOutcome.UNAUTHORIZED,
    403: RequestOutcome.FORBIDDEN,
    404: RequestOutcome.NOT_FOUND,
    410: RequestOutcome.NOT_FOUND,
    429: RequestOutcome.RATE_LIMITED,
}
_OF_HUNDRED: Final = {
    2: RequestOutcome.OK,
    3: RequestOutcome.REDIRECT,
    4: RequestOutcome.CLIENT_ERROR,
    5: RequestOutcome.SERVER_ERROR,
}


def _of_status(status: int) -> RequestOutcome:
    outcome = _OF_STATUS.get(status) or _OF_HUNDRED.get(status // 100)
    return outcome or RequestOutcome.NONSENSE


def _of_failure(failure: BaseException) -> RequestOutcome:
    found = (each for kinds, each in _REQUEST_FAILURES if isinstance(failure, kinds))
    return next(found, RequestOutcome.LEFT)
