"""Logs what goes wrong with one connection's registry: when it begins, and when it is over.

Each line names the connection and its host. Not every pull that meets a trouble has a line; one
that comes and goes has two lines a minute at most.
"""

import time
from collections.abc import Callable
from enum import Enum, auto
from typing import Final, assert_never
from uuid import UUID

from attrs import define, field

from shared.bounded_map import BoundedMap
from shared.oci import RepositoryName
from shared.registry_host import RegistryHost
from shared.structured_log import get_logger
from shared.upstream.errors import (
    ChallengeError,
    ConnectError,
    CredentialRefusedError,
    EgressRefusedError,
    GoneError,
    NotInRegistryError,
    PolicyDeniedError,
    RateLimitedError,
    RealmNotAllowedError,
    RedirectRefusedError,
    ResolveError,
    ServerError,
    TlsError,
    UnexpectedAnswerError,
    UpstreamError,
    UpstreamTimeoutError,
)
from shared.upstream.scope import Scope

TELL_AGAIN_SECONDS: Final = 30.0  # between two lines that tell one trouble's beginning
MAX_CURRENT: Final = 256  # troubles of one connection, each repository's own; the oldest is dropped

_AWAY: Final = (ConnectError, ResolveError, ServerError, TlsError, UpstreamTimeoutError)
_UNUSABLE: Final = (
    ChallengeError,
    RealmNotAllowedError,
    RedirectRefusedError,
    UnexpectedAnswerError,
)
_UNTOLD: Final = ""
_log = get_logger("facade.registry")


class RegistryTrouble(Enum):
    """What goes wrong."""

    ADDRESS = auto()  # its own, or where it leads, may not be reached: nobody is asked
    AWAY = auto()  # the registry does not answer, or with 5xx
    CIRCUIT = auto()  # it is not asked, because it failed several times in a row
    CREDENTIAL = auto()  # it refuses ours
    LIMITED = auto()  # it answers 429
    RENEWAL = auto()  # of a credential or a token, also if no pull waits for it
    SECRET = auto()  # the sealed one does not open here, or is not what is needed
    UNUSABLE = auto()  # it answers what we may not follow, or cannot understand


_Key = tuple[RegistryTrouble, RepositoryName | None]


@define(eq=False)
class RegistryTroubles:
    """The troubles of one connection."""

    _connection: UUID
    _host: RegistryHost
    _clock: Callable[[], float] = time.monotonic
    # Told when the registry begins to refuse the credential, and when it gives something again.
    _tell_of_credential: Callable[[bool], None] = lambda _refused: None
    _is_refused: bool = False  # the credential, when last used
    _current: BoundedMap[_Key, str] = field(  # what was told
        factory=lambda: BoundedMap(MAX_CURRENT), init=False
    )
    _told_at: dict[RegistryTrouble, float] = field(factory=dict, init=False)

    @property
    def has_some(self) -> bool:
        """Whether something goes wrong with the whole registry, whose end has to be told."""
        return any(repository is None for _, repository in self._current)

    def failed(self, error: UpstreamError, repository: RepositoryName) -> None:
        """Note how a question to the registry failed."""
        match error:
            case CredentialRefusedError():
                self._note_credential(refused=True)
                self.begin(RegistryTrouble.CREDENTIAL, error.message, repository)
            case RateLimitedError():
                self.begin(RegistryTrouble.LIMITED, error.message)
            case EgressRefusedError():
                self.begin(RegistryTrouble.ADDRESS, error.message, repository)
            case NotInRegistryError() | GoneError() | PolicyDeniedError():
                self.end(RegistryTrouble.AWAY)
            case _ if isinstance(error, _AWAY):
                self.begin(RegistryTrouble.AWAY, error.message)
            case _ if isinstance(error, _UNUSABLE):
                self.begin(RegistryTrouble.UNUSABLE, error.message, repository)
            case _:
                pass  # it concerns this answer only, or nobody was asked

    def answered(self, repository: RepositoryName) -> None:
        """Note that the registry gave what it was asked for."""
        self._note_credential(refused=False)
        if self._current:
            self.end(RegistryTrouble.AWAY)
            self.end(RegistryTrouble.LIMITED)
            self.end(RegistryTrouble.CREDENTIAL, repository)
            self.end(RegistryTrouble.UNUSABLE, repository)
            self.end(RegistryTrouble.ADDRESS, repository)

    def renewed(self, scope: Scope | None, failure: BaseException | None) -> None:
        """Note how renewing a credential (`scope` None) or a token went, also if nobody waits."""
        repository = None if scope is None else scope.repository
        if failure is None:
            self.end(RegistryTrouble.RENEWAL, repository)
        else:
            self.begin(RegistryTrouble.RENEWAL, _reason_of(failure), repository)

    def begin(
        self, trouble: RegistryTrouble, reason: str, repository: RepositoryName | None = None
    ) -> None:
        """Tell of a trouble, unless it was told already, or another of its kind just now."""
        key, now = (trouble, repository), self._clock()
        told = self._current.get(key)
        if told is None:
            self._current.set(key, _UNTOLD)
        since = now - self._told_at.get(trouble, float("-inf"))
        if told == reason or since < TELL_AGAIN_SECONDS:
            return
        self._current.set(key, reason)
        self._told_at[trouble] = now
        _tell_begun(trouble, **self._about(repository), reason=reason)

    def end(self, trouble: RegistryTrouble, repository: RepositoryName | None = None) -> None:
        """Tell that a trouble is over, if its beginning was told."""
        if not self._current.pop((trouble, repository)):
            return
        _tell_over(trouble, **self._about(repository))

    def _note_credential(self, *, refused: bool) -> None:
        if refused is not self._is_refused:
            self._is_refused = refused
            self._tell_of_credential(refused)

    def _about(self, repository: RepositoryName | None) -> dict[str, object]:
        return {"connection": self._connection, "host": self._host, "repository": repository}


def _tell_begun(trouble: RegistryTrouble, **fields: object) -> None:
    match trouble:
        case RegistryTrouble.ADDRESS:
            _log.warning("address may not be reached", **fields)
        case RegistryTrouble.AWAY:
            _log.warning("registry does not answer", **fields)
        case RegistryTrouble.CIRCUIT:
            _log.warning("circuit opened", **fields)
        case RegistryTrouble.CREDENTIAL:
            _log.warning("credential refused", **fields)
        case RegistryTrouble.LIMITED:
            _log.warning("registry limits our requests", **fields)
        case RegistryTrouble.RENEWAL:
            _log.warning("renewal failed", **fields)
        case RegistryTrouble.SECRET:
            _log.warning("sealed secret cannot be used", **fields)
        case RegistryTrouble.UNUSABLE:
            _log.warning("registry's answer is of no use", **fields)
        case _ as unreachable:
            assert_never(unreachable)


def _tell_over(trouble: RegistryTrouble, **fields: object) -> None:
    match trouble:
        case RegistryTrouble.ADDRESS:
            _log.info("address may be reached again", **fields)
        case RegistryTrouble.AWAY:
            _log.info("registry answers again", **fields)
        case RegistryTrouble.CIRCUIT:  # as loudly as its opening: they are read as a pair
            _log.warning("circuit closed", **fields)
        case RegistryTrouble.CREDENTIAL:
            _log.info("credential accepted again", **fields)
        case RegistryTrouble.LIMITED:
            _log.info("registry limits our requests no more", **fields)
        case RegistryTrouble.RENEWAL:
            _log.info("renewed again", **fields)
        case RegistryTrouble.SECRET:
            _log.info("sealed secret can be used", **fields)
        case RegistryTrouble.UNUSABLE:
            _log.info("registry's answer is of use again", **fields)
        case _ as unreachable:
            assert_never(unreachable)


def _reason_of(failure: BaseException) -> str:
    """Return our own words; of other errors only the class."""
    return failure.message if isinstance(failure, UpstreamError) else type(failure).__name__
