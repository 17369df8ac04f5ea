"""The control plane's error tree: what can go wrong, in its own words, before any HTTP.

    ControlPlaneError
        UnreadableBodyError, UnsupportedMediaTypeError, InvalidRequestError (CheckFailedError)
        NotAuthenticatedError, NotPermittedError
        NotFoundError, TooManyRequestsError
        ConflictError        NotBelievedError, StatementLevelError, PreconditionFailedError
        UnavailableError     AuditDamagedError, ClockError, SchemaOutdatedError, VerifyingEndedError
            TryLaterError    AuditUnreadError, DatabaseUnavailableError, ActsWaitingError,
                             NotificationQueueFullError, SignOnUnavailableError

Beside it stand the errors of what never answers a call: of migrations, of the files that `serve`
starts with, of the API's client. `http/problems.py` makes answers of the tree, and
`commands/running.py` exit statuses. No message carries a secret, a token or anything that an
upstream registry said.

A grammar refuses a text with a `ValueError`; whoever reads the field names it (`FieldError`).
"""

from collections.abc import Mapping

from attrs import frozen

from shared.postgres.connect import reason_of
from shared.postgres.reasons import in_words
from shared.safe_message import SafeMessage


class ControlPlaneError(SafeMessage, Exception):
    """Something cannot be done; the message is meant for whoever asked."""


@frozen
class FieldError:
    """One wrong field: a JSON pointer (RFC 6901) into the body, or a parameter of the query."""

    pointer: str
    detail: str
    parameter: str | None = None


class UnreadableBodyError(ControlPlaneError):
    """The body is not one JSON object; nothing of it is quoted."""


class UnsupportedMediaTypeError(ControlPlaneError):
    """The body has a media type that is not read; the message names those that are."""


class InvalidRequestError(ControlPlaneError):
    """Fields are wrong: every one is named, and none is quoted."""

    def __init__(self, errors: tuple[FieldError, ...], message: str = "fields are wrong") -> None:
        """Hold the errors."""
        super().__init__(message)
        self.errors = errors


class CheckFailedError(InvalidRequestError):
    """The registry refused the login, or may not be asked in this way."""

    def __init__(self, error: FieldError, check: dict[str, object]) -> None:
        """Hold the error and the check's view."""
        super().__init__((error,), "the registry did not accept this connection")
        self.check = check


class NotAuthenticatedError(ControlPlaneError):
    """The caller is not let in. The message tells the caller why, and the reason tells the log.

    A message speaks of an operator only to whoever holds a token that is, or was, that operator's.
    Whoever invents a token does not learn which operators there are.
    """

    def __init__(
        self,
        message: str,
        *,
        reason: str,
        claimed_name: str | None = None,
        is_token_given: bool = True,
    ) -> None:
        """Hold the reason, and the name that a well-formed token claims."""
        super().__init__(message)
        self.reason = reason
        self.claimed_name = claimed_name
        self.is_token_given = is_token_given


class NotPermittedError(ControlPlaneError):
    """The operator's role may not do this."""


class NotFoundError(ControlPlaneError):
    """There is nothing with that id or name."""


class ConflictError(ControlPlaneError):
    """Something that is there does not allow this now; `conflict` names it, as answers do."""

    def __init__(self, message: str, conflict: Mapping[str, object] | None = None) -> None:
        """Hold what is in the way."""
        super().__init__(message)
        self.conflict = conflict


class NotBelievedError(ConflictError):
    """What the database holds is not what was signed: it was changed behind the control plane."""


class PreconditionFailedError(ConflictError):
    """What is there is not what the caller saw and named in `If-Match`."""


class StatementLevelError(ConflictError):
    """What would be written is not understood by every facade yet, as far as was said."""

    def __init__(self, needed: int) -> None:
        """Name the level that says it."""
        super().__init__(
            f"this needs statement level {needed}: set CONTROL_PLANE_STATEMENT_LEVEL={needed} once"
            " every facade and every control plane runs a version that reads it"
        )
        self.needed = needed


class TooManyRequestsError(ControlPlaneError):
    """Something was done more often than allowed."""

    def __init__(self, retry_after_seconds: int, what: str = "checks") -> None:
        """Hold after how many seconds to try again, and what there was too much of."""
        super().__init__(f"too many {what}; come again later")
        self.retry_after_seconds = retry_after_seconds


class UnavailableError(ControlPlaneError):
    """The control plane cannot do it at present, whoever asks and whatever they send."""


class TryLaterError(UnavailableError):
    """The same call may work in a few seconds; its answer bears Retry-After."""


class AuditDamagedError(UnavailableError):
    """The audit log is not believed: no act can follow it, and nothing is believed by it."""


class AuditUnreadError(TryLaterError):
    """The audit log is still being read, after a start; the message says to try again later."""

    def __init__(self) -> None:
        """Take no details: there are none."""
        super().__init__("the audit log is still being read after the start; come again later")


class ClockError(UnavailableError):
    """What was signed before is so far ahead of this clock that one of the two is wrong."""


class DatabaseUnavailableError(TryLaterError):
    """The database cannot be reached or does not answer; the message names no URL."""

    def __init__(self, cause: BaseException) -> None:
        """Hold the reason, for the log and for a shell; asyncpg's own texts quote URLs."""
        super().__init__("the database is not available")
        self.reason = in_words(reason_of(cause))


class ActsWaitingError(TryLaterError):
    """Too many acts wait for one another already, or this one has waited too long."""

    def __init__(self) -> None:
        """Say what to do."""
        super().__init__("too many acts are waiting for one another; try again")


class VerifyingEndedError(UnavailableError):
    """A process that verified signatures was ended, perhaps because memory ran out."""

    def __init__(self) -> None:
        """Say what happened."""
        super().__init__("a process that verified signatures was ended; nothing can be told")


class NotificationQueueFullError(TryLaterError):
    """PostgreSQL's notification queue is full, so it did not commit; the act did not happen."""

    def __init__(self) -> None:
        """Say what to do."""
        super().__init__(
            "the database took nothing, because its notification queue is full: end the session"
            " that PostgreSQL's log names, and come again"
        )


class SignOnUnavailableError(TryLaterError):
    """The provider of single sign-on cannot be asked; the reason is for the log alone."""

    def __init__(self, reason: str) -> None:
        """Say who can go on."""
        super().__init__(
            "the provider of single sign-on cannot be asked at present: try again in a while;"
            " operators' tokens work all the same"
        )
        self.reason = reason


class SchemaOutdatedError(UnavailableError):
    """The database is not at the schema revision that this program works with."""
