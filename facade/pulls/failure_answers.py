"""One table: what a pull can end with, and what the device is told of it."""

from typing import Final

from facade.answers.distribution_errors import (
    BLOB_UNKNOWN,
    CREDENTIAL_REFUSED,
    EGRESS_REFUSED,
    MANIFEST_UNKNOWN,
    NAME_UNKNOWN,
    ODD_STATUS,
    POLICY_DENIED,
    REFERRERS_UNPROVEN,
    ROLE_NOT_ASSUMED,
    SECRET_NOT_OPENED,
    SECRET_UNUSABLE,
    TOO_MANY_PULLS,
    TOO_MANY_RANGES,
    WRONG_ANSWER,
    ErrorAnswer,
    PullRefusedError,
    range_not_satisfiable,
    rate_limited,
    too_costly,
    too_many_requests,
    too_slow,
    unavailable,
    wrong_answer_lately,
)
from facade.arrivals.arrival import ArrivalEndedError
from facade.arrivals.span_download import NoRangesError
from facade.content.referrers import UnprovenReferrersError
from facade.errors import PullError
from facade.metrics.pull_metrics import NotAsked, RefusedBy
from facade.pulls.device_requests import DeviceTooFastError
from facade.pulls.held_manifests import TooMuchHeldError
from facade.pulls.pull_slots import TooManyPullsError
from facade.registries.absences import RememberedAbsenceError
from facade.registries.connection_work import ConnectionRevokedError
from facade.registries.device_allowance import (
    TooCostlyError,
    TooManyBytesError,
    TooManyDownloadsError,
    TooManyMissesError,
    TooManyTokensError,
    TooManyUpstreamRequestsError,
)
from facade.registries.failing_paths import (
    CircuitOpenError,
    DeviceFailingError,
    DigestFailingError,
)
from facade.registries.sealed_provider import SecretNotOpenedError, SecretUnusableError
from facade.registries.wrong_bytes_backoff import WrongBytesLatelyError
from facade.values.byte_range import TooManyRangesError, UnsatisfiableRangeError
from facade.values.piece import WrongBytesError
from shared.oci import Kind, ReadRoute
from shared.upstream.errors import (
    BrokenBodyError,
    ChallengeError,
    CredentialRefusedError,
    EgressRefusedError,
    GoneError,
    NotInRegistryError,
    NotNowError,
    PolicyDeniedError,
    RateLimitedError,
    RealmNotAllowedError,
    RedirectRefusedError,
    ServerError,
    Step,
    UnexpectedAnswerError,
    UnexpectedStatusError,
    UpstreamError,
    UpstreamTimeoutError,
)

# What is answered without asking the registry, and how the metrics call it.
_NOT_ASKED: Final = {
    CircuitOpenError: NotAsked.CIRCUIT_OPEN,
    DeviceFailingError: NotAsked.DEVICE_FAILING,
    DigestFailingError: NotAsked.DIGEST_FAILING,
    RememberedAbsenceError: NotAsked.MISSING,
    SecretNotOpenedError: NotAsked.SEALED_SECRET,
    SecretUnusableError: NotAsked.SEALED_SECRET,
    TooManyBytesError: NotAsked.DEVICE_BYTES,
    TooManyDownloadsError: NotAsked.DEVICE_DOWNLOADS,
    TooManyMissesError: NotAsked.DEVICE_MISSES,
    TooManyUpstreamRequestsError: NotAsked.DEVICE_REQUESTS,
    TooManyTokensError: NotAsked.DEVICE_TOKENS,
    WrongBytesLatelyError: NotAsked.WRONG_BYTES,
}


# What a pull ends with: what this process found itself, and what the registry did.
PULL_FAILURES: Final = (PullError, UpstreamError)


def why_not_asked(failure: BaseException) -> NotAsked | None:
    """Return why the registry was not asked; None if it was."""
    return _NOT_ASKED.get(type(failure))


def refused_by(failure: BaseException) -> RefusedBy | None:  # noqa: PLR0911 - a table
    """Return the facade's own rule that refused a request; None if it is the registry's matter."""
    match failure:
        case PullRefusedError():
            return failure.by
        case ConnectionRevokedError():
            return RefusedBy.NOT_CONNECTED
        case TooManyPullsError() | TooMuchHeldError():
            return RefusedBy.TURNS
        case DeviceTooFastError():
            return RefusedBy.PACE
        case TooCostlyError():
            return RefusedBy.ALLOWANCE
        case UnsatisfiableRangeError() | TooManyRangesError():
            return RefusedBy.REQUEST
        case _:
            return None


def answer_to(  # noqa: C901, PLR0911, PLR0912 - a table
    failure: BaseException | None, kind: ReadRoute | None
) -> ErrorAnswer:
    """Return the device's answer. Only upstream's own 404 and 410 become a 404, no other trouble.

    `kind`: what was pulled; None where a request was no pull.
    """
    match failure:
        case PullRefusedError():
            return failure.answer
        case ConnectionRevokedError():
            return NAME_UNKNOWN
        case TooManyPullsError() | TooMuchHeldError():
            return TOO_MANY_PULLS
        case DeviceTooFastError():
            return too_many_requests(failure.retry_after)
        case UnsatisfiableRangeError():
            return range_not_satisfiable(failure.length)
        case TooManyRangesError():
            return TOO_MANY_RANGES
        case ArrivalEndedError():
            return answer_to(failure.__cause__, kind)
        case NotInRegistryError() | GoneError():
            return MANIFEST_UNKNOWN if kind is Kind.MANIFEST else BLOB_UNKNOWN
        case CredentialRefusedError(step=Step.ASSUME_ROLE):
            return ROLE_NOT_ASSUMED
        case CredentialRefusedError():
            return CREDENTIAL_REFUSED
        case PolicyDeniedError():
            return POLICY_DENIED
        case SecretNotOpenedError():
            return SECRET_NOT_OPENED
        case SecretUnusableError():
            return SECRET_UNUSABLE
        case EgressRefusedError() | RealmNotAllowedError() | RedirectRefusedError():
            return EGRESS_REFUSED
        case UnexpectedStatusError():
            return ODD_STATUS
        case (
            NoRangesError()
            | WrongBytesError()
            | BrokenBodyError()
            | UnexpectedAnswerError()
            | ChallengeError()
        ):
            return WRONG_ANSWER
        case UnprovenReferrersError():
            return REFERRERS_UNPROVEN
        case WrongBytesLatelyError():
            return wrong_answer_lately(failure.retry_after)
        case TooCostlyError():
            return too_costly(failure.retry_after)
        case RateLimitedError():
            return rate_limited(failure.retry_after)
        case UpstreamTimeoutError():
            return too_slow()
        case CircuitOpenError() | ServerError():
            return unavailable("the registry is away", failure.retry_after)
        case NotNowError():
            return unavailable("the registry asks to be asked again", failure.retry_after)
        case UpstreamError():  # not resolved, not connected, TLS
            return unavailable("the registry cannot be reached")
        case _:  # a download of this machine ended, which says nothing of the registry
            return unavailable("the download was interrupted")
