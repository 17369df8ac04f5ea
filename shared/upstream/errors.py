"""What can go wrong between us and a registry: one small tree of errors.

Every error names the step that failed and says what happened in our own words. A registry's own
text is never part of the message: its bodies and headers may carry anything, credentials included.
"""

from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address
from typing import ClassVar


class Step(StrEnum):
    """Where on the way to a registry's answer something failed."""

    RESOLVE = "resolve"
    CONNECT = "connect"
    TLS = "tls"
    CHALLENGE = "challenge"
    REALM = "realm"
    ASSUME_ROLE = "assume_role"
    EXCHANGE = "exchange"
    REQUEST = "request"


class UpstreamError(Exception):
    """The registry did not give what was asked; `message` is for people, without upstream text.

    `advice` is what an operator may do about it, or empty.
    """

    default_step: ClassVar[Step] = Step.REQUEST

    def __init__(self, message: str, *, step: Step | None = None, advice: str = "") -> None:
        """Say what happened, and at which step if it is not the class's own."""
        super().__init__(message)
        self.message = message
        self.step = step or self.default_step
        self.advice = advice
        self.at_store = False  # the host that the registry redirects to answered, not the registry
        self.at_registry = False  # the registry itself answered so, or could not be reached
        self.event = object()  # the same for all instances that are raised of it

    def is_same(self, other: "UpstreamError") -> bool:
        """Tell whether both tell of the same event, perhaps to several who waited for it."""
        return self.event is other.event

    @property
    def words(self) -> str:
        """The message, and the advice behind it: for operators, who can follow it."""
        return f"{self.message}; {self.advice}" if self.advice else self.message


class ResolveError(UpstreamError):
    """The host's name has no address here."""

    default_step = Step.RESOLVE


class ConnectError(UpstreamError):
    """No connection, or one that was closed before an answer began."""

    default_step = Step.CONNECT


class ClosedUnansweredError(ConnectError):
    """A connection was closed before an answer began; perhaps only at this path."""


class TlsError(UpstreamError):
    """The TLS handshake failed, or the connection's own CA cannot be read."""

    default_step = Step.TLS


class UpstreamTimeoutError(UpstreamError):
    """No connection, no first byte, or no next byte in time."""


class EgressRefusedError(UpstreamError):
    """The address may not be spoken to. `address` is for the log, not for devices."""

    default_step = Step.RESOLVE

    def __init__(self, message: str, *, address: IPv4Address | IPv6Address | None = None) -> None:
        """Say which kind of address it is; keep the address itself beside the message."""
        super().__init__(message)
        self.address = address


class RealmNotAllowedError(UpstreamError):
    """A challenge, or a token endpoint's redirect, names a realm that may not see the credential.

    `realm` is its URL, bounded and printable. `entry` would allow it in the connection's
    `auth_realms`; None if no entry would.
    """

    default_step = Step.REALM

    def __init__(self, realm: str, *, entry: str | None = None, message: str | None = None) -> None:
        """Keep both for the operator who may allow it."""
        super().__init__(
            message or "the registry names a token endpoint that is not allowed to it",
            advice=_realm_advice(realm, entry),
        )
        self.realm = realm
        self.entry = entry


def _realm_advice(realm: str, entry: str | None) -> str:
    """Return what an operator may do about a realm: never an entry that the admin API refuses."""
    if entry is not None:
        return f"if it is right, add {entry} to the connection's auth_realms"
    if realm.lower().startswith("http://"):
        return (
            "a credential is shown to a token endpoint over https alone:"
            " the registry has to name an https:// URL"
        )
    return "it is not a plain https:// URL, which is what the registry has to name"


class RedirectRefusedError(UpstreamError):
    """A redirect that is not followed: too many, not https, or not to a plain host."""


class ChallengeError(UpstreamError):
    """`WWW-Authenticate` is malformed, too long, or asks for nothing that we can do."""

    default_step = Step.CHALLENGE


class TokenExchangeError(UpstreamError):
    """The token endpoint answered `status`, but not with a token, nor with a refusal."""

    default_step = Step.EXCHANGE

    def __init__(self, message: str, *, status: int) -> None:
        """Keep the status that the endpoint answered."""
        super().__init__(message)
        self.status = status


class CredentialRefusedError(UpstreamError):
    """Our credential, or the lack of one, was refused.

    `step` tells by whom: `EXCHANGE` is the token endpoint (`status` 401: the credential, 403: the
    scope), `REQUEST` the registry itself.
    """

    def __init__(
        self, message: str, *, status: int | None = None, step: Step | None = None
    ) -> None:
        """Keep the status of the refusal, if there was an answer."""
        super().__init__(message, step=step)
        self.status = status


class GoneError(UpstreamError):
    """The registry answered 410: it had the content once.

    Devices are told 404, but it is not remembered, because it is an answer about the past.
    """


class PolicyDeniedError(UpstreamError):
    """The registry has the content, and gives it to nobody: `status` 402, 412 or 451.

    Harbor answers 412 for an image that its scanner blocks, others 451 for what a court has
    blocked and 402 for what was not paid for. It is about the content, not about our credential.
    """

    def __init__(self, status: int, *, step: Step | None = None) -> None:
        """Keep the status that the registry answered."""
        super().__init__(f"the registry's policy forbids it ({status})", step=step)
        self.status = status


class NotInRegistryError(UpstreamError):
    """The registry does not have it, or says so."""


class RateLimitedError(UpstreamError):
    """The registry answered 429. `retry_after`: bounded seconds, or None if it named none."""

    def __init__(self, *, retry_after: float | None, step: Step | None = None) -> None:
        """Keep the bounded delay that the registry asks for."""
        super().__init__("the registry limits our requests", step=step)
        self.retry_after = retry_after


class ServerError(UpstreamError):
    """The registry answered 5xx. `retry_after`: bounded seconds, if it named them."""

    def __init__(
        self, status: int, *, retry_after: float | None = None, step: Step | None = None
    ) -> None:
        """Keep the status and the bounded delay that the registry asks for."""
        super().__init__(f"the registry answered {status}", step=step)
        self.status = status
        self.retry_after = retry_after


class NotNowError(UpstreamError):
    """The registry answered 408, 421 or 425: the same request may succeed when it is repeated.

    `retry_after`: bounded seconds, if it named them. The answer says nothing about the registry's
    health, so no circuit breaker counts it.
    """

    def __init__(
        self, status: int, *, retry_after: float | None = None, step: Step | None = None
    ) -> None:
        """Keep the status and the bounded delay that the registry asks for."""
        super().__init__(f"the registry answered {status}: ask again", step=step)
        self.status = status
        self.retry_after = retry_after


class UnexpectedAnswerError(UpstreamError):
    """An answer that a registry does not give: of another range or length, not HTTP."""


class RangeRefusedError(UnexpectedAnswerError):
    """No range that can be used: a 416, or a 206 that does not say what it has, or has too much.

    `total`: the bytes of the whole, if the registry named them.
    """

    def __init__(self, message: str, *, total: int | None = None) -> None:
        """Keep what the registry said of the whole."""
        super().__init__(message)
        self.total = total


class UnexpectedStatusError(UnexpectedAnswerError):
    """The registry, or the store that it points to, answered a `status` with no other meaning."""

    def __init__(self, message: str, *, status: int) -> None:
        """Keep the status."""
        super().__init__(message)
        self.status = status


class WastefulAnswerError(UnexpectedAnswerError):
    """The answer is framing without an end: interim answers, headers, empty chunks."""


class BrokenBodyError(UpstreamError):
    """The body ended before the length that its headers promised."""
