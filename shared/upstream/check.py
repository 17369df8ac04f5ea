"""An operator's check: one login at a registry, and what happened in words, step by step."""

from collections.abc import Callable
from enum import StrEnum
from typing import Any, Final, assert_never

import aiohttp
from attrs import evolve, frozen

from shared.oci import RepositoryName
from shared.secret import Secret
from shared.upstream.authorization import OneShotAuthorizer, answerable, mint
from shared.upstream.basic_credential import BasicCredential
from shared.upstream.challenge import BasicChallenge, BearerChallenge
from shared.upstream.client import RegistryClient
from shared.upstream.errors import (
    ChallengeError,
    ClosedUnansweredError,
    ConnectError,
    CredentialRefusedError,
    EgressRefusedError,
    GoneError,
    NotInRegistryError,
    NotNowError,
    PolicyDeniedError,
    RateLimitedError,
    RealmNotAllowedError,
    RedirectRefusedError,
    ResolveError,
    ServerError,
    Step,
    TlsError,
    UnexpectedAnswerError,
    UpstreamError,
    UpstreamTimeoutError,
)
from shared.upstream.hosts import upstream_repository
from shared.upstream.proxy import OutboundProxy
from shared.upstream.resolver import Lookup, system_lookup
from shared.upstream.scope import Scope
from shared.upstream.target import UpstreamTarget
from shared.upstream.transport import Timeouts, TransportResources, UpstreamTransport

# Somebody waits for the check's answer: less patience than for a pull.
CHECK_TIMEOUTS: Final = Timeouts(
    connect_seconds=5, first_byte_seconds=10, stall_seconds=10, token_seconds=10
)


class CheckOutcome(StrEnum):
    """How a check ended."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"  # it cannot be tried from here; that says nothing about the connection


class CheckStage(StrEnum):
    """What a check has done, in this order."""

    NAME = "name"
    CONNECTION = "connection"  # with its TLS
    CHALLENGE = "challenge"
    TOKEN = "token"  # noqa: S105  # the login is taken
    REPOSITORY = "repository"  # if one was named


TellStage = Callable[[CheckStage], None]


def told_nobody(_: CheckStage) -> None:
    """Tell nobody."""


@frozen
class CheckProblem:
    """Why a check did not pass. `code` is fixed, `text` names the step in words."""

    code: str
    text: str


@frozen
class LoginCheck:
    """What a check saw. `auth_scheme`: `bearer`, `basic` or `none`, once the registry said so.

    `realm_entry`: the entry of `auth_realms` that would allow a refused realm; None if none would.
    """

    outcome: CheckOutcome
    auth_scheme: str | None = None
    realm: str | None = None
    token_expires_in_seconds: float | None = None
    problem: CheckProblem | None = None
    realm_entry: str | None = None


NOT_RESOLVED: Final = "not_resolved"
NOT_ALLOWED: Final = "address_not_allowed"
# What a port that speaks TLS does with plain HTTP: a 400 in plain HTTP, an alert, or a hang-up.
_OF_TLS_PORTS: Final = (ClosedUnansweredError, UnexpectedAnswerError)
LEAVE_OUT_PLAIN_HTTP: Final = "; if it speaks TLS, leave out plain_http (--plain-http)"
# The outcome and code of each error; the first that fits counts.
_PROBLEMS: Final[tuple[tuple[type[UpstreamError], CheckOutcome, str], ...]] = (
    (ResolveError, CheckOutcome.SKIPPED, NOT_RESOLVED),
    (EgressRefusedError, CheckOutcome.SKIPPED, NOT_ALLOWED),
    (ConnectError, CheckOutcome.SKIPPED, "not_reachable"),
    (UpstreamTimeoutError, CheckOutcome.SKIPPED, "timeout"),
    (RateLimitedError, CheckOutcome.SKIPPED, "rate_limited"),
    (NotNowError, CheckOutcome.SKIPPED, "registry_error"),
    (ServerError, CheckOutcome.SKIPPED, "registry_error"),
    (TlsError, CheckOutcome.FAILED, "tls_failed"),
    (RealmNotAllowedError, CheckOutcome.FAILED, "realm_not_allowed"),
    (CredentialRefusedError, CheckOutcome.FAILED, "credential_refused"),
    (PolicyDeniedError, CheckOutcome.FAILED, "policy_denied"),
    (RedirectRefusedError, CheckOutcome.FAILED, "redirect_refused"),
    (ChallengeError, CheckOutcome.FAILED, "challenge_unusable"),
    (NotInRegistryError, CheckOutcome.FAILED, "not_a_registry"),
    (GoneError, CheckOutcome.FAILED, "not_a_registry"),
    (UnexpectedAnswerError, CheckOutcome.FAILED, "not_a_registry"),
    (UpstreamError, CheckOutcome.FAILED, "exchange_failed"),
)

REPOSITORY_UNKNOWN: Final = "repository_unknown"
REPOSITORY_REFUSED: Final = "repository_refused"
# What those codes are where a repository was asked for, after the login.
_OF_REPOSITORY: Final = {
    "not_a_registry": (REPOSITORY_UNKNOWN, "the registry has no such repository"),
    "credential_refused": (REPOSITORY_REFUSED, "the registry does not show it to this login"),
    "policy_denied": (REPOSITORY_REFUSED, "the registry does not show it to this login"),
    "exchange_failed": (REPOSITORY_REFUSED, "the registry gives no token for it to this login"),
}

_STEPS: Final = {
    Step.RESOLVE: "resolving the host",
    Step.CONNECT: "connecting to the host",
    Step.TLS: "the TLS handshake",
    Step.CHALLENGE: "reading how to log in",
    Step.REALM: "choosing the token endpoint",
    Step.ASSUME_ROLE: "assuming the role",
    Step.EXCHANGE: "getting a token",
    Step.REQUEST: "asking the registry",
}


async def check_login(
    target: UpstreamTarget,
    credential: BasicCredential | None,
    *,
    repository: RepositoryName | None = None,
    timeouts: Timeouts | None = None,
    proxy: OutboundProxy | None = None,
    lookup: Lookup = system_lookup,
    tell: TellStage = told_nobody,
) -> LoginCheck:
    """Log in once, for `repository` or for none. Tell what happened; raise no `UpstreamError`.

    A repository is then asked for its first tags. `tell` is told of each stage once it is done.
    Nothing is sent to a realm outside the target's rule. A registry that cannot be reached from
    here is `skipped`, because the facade may stand elsewhere.
    """
    try:
        transport = await UpstreamTransport.open(
            target,
            timeouts=timeouts or CHECK_TIMEOUTS,
            proxy=proxy,
            lookup=lookup,
            resources=TransportResources(trace=_trace(tell)),
        )
    except TlsError as error:
        return _with_problem(LoginCheck(CheckOutcome.FAILED), error)
    try:
        return await _Check(transport, credential, repository, tell).run()
    finally:
        await transport.close()


def check_of_error(error: UpstreamError) -> LoginCheck:
    """Return the result of a check that ended before the registry was asked."""
    return _with_problem(LoginCheck(CheckOutcome.PASSED), error)


def is_about_addresses(problem: CheckProblem) -> bool:
    """Tell whether a check ended because a name has no address, or none that may be spoken to."""
    is_resolving = problem.text.startswith(_STEPS[Step.RESOLVE])
    return is_resolving or problem.code in {NOT_RESOLVED, NOT_ALLOWED}


class _Check:
    def __init__(
        self,
        transport: UpstreamTransport,
        credential: BasicCredential | None,
        repository: RepositoryName | None,
        tell: TellStage,
    ) -> None:
        self._transport = transport
        self._client = RegistryClient(transport, OneShotAuthorizer(transport, credential))
        self._credential = credential
        self._repository = repository
        self._tell = tell
        self._scope = Scope(
            upstream_repository(transport.target.host, repository) if repository else None
        )
        self._seen = LoginCheck(CheckOutcome.PASSED)

    async def run(self) -> LoginCheck:
        try:
            await self._log_in()
        except UpstreamError as error:
            is_plain = self._transport.target.plain_http
            advice = LEAVE_OUT_PLAIN_HTTP if is_plain and isinstance(error, _OF_TLS_PORTS) else ""
            return _with_problem(self._seen, error, advice)
        self._tell(CheckStage.TOKEN)
        if self._repository is not None:
            try:
                await self._client.tag_page(self._repository)
            except UpstreamError as error:
                return _of_repository(_with_problem(self._seen, error))
            self._tell(CheckStage.REPOSITORY)
        return self._seen

    async def _log_in(self) -> None:
        ping = await self._client.ping()
        if ping.is_open:
            self._tell(CheckStage.CHALLENGE)
            await self._accept_without_challenge()
            return
        challenge = answerable(ping.challenges)
        self._note(challenge)
        self._tell(CheckStage.CHALLENGE)
        minted = await mint(self._transport, challenge, self._scope, self._credential)
        self._seen = evolve(self._seen, token_expires_in_seconds=minted.lifetime_seconds)
        # Quay answers 401 even to an anonymous token of its own: only a login is tried.
        if self._credential is not None:
            await self._try(minted.header)

    async def _accept_without_challenge(self) -> None:
        """Take a registry that lets anybody in. A password is tried all the same."""
        self._seen = evolve(self._seen, auth_scheme="none")
        if self._credential is not None:
            await self._try(self._credential.authorization())

    async def _try(self, authorization: Secret) -> None:
        ping = await self._client.ping(authorization)
        if not ping.is_open:
            raise CredentialRefusedError("the registry refuses the credential")

    def _note(self, challenge: BearerChallenge | BasicChallenge) -> None:
        match challenge:
            case BearerChallenge():
                self._seen = evolve(self._seen, auth_scheme="bearer", realm=challenge.realm)
            case BasicChallenge():
                self._seen = evolve(self._seen, auth_scheme="basic")
            case _ as unreachable:
                assert_never(unreachable)


def _with_problem(seen: LoginCheck, error: UpstreamError, advice: str = "") -> LoginCheck:
    outcome, code = next(
        (outcome, code) for kind, outcome, code in _PROBLEMS if isinstance(error, kind)
    )
    text = f"{_STEPS[error.step]} failed: {error.words}{advice}"
    if isinstance(error, RealmNotAllowedError):
        # the one that would have to be allowed, which a redirect may have named
        seen = evolve(seen, realm=error.realm, realm_entry=error.entry)
    return evolve(seen, outcome=outcome, problem=CheckProblem(code, text))


def _of_repository(check: LoginCheck) -> LoginCheck:
    """Return the check; its problem is one of the repository, for the login was taken before."""
    problem = check.problem
    if problem is None or problem.code not in _OF_REPOSITORY:
        return check
    code, text = _OF_REPOSITORY[problem.code]
    return evolve(check, problem=CheckProblem(code, text))


def _trace(tell: TellStage) -> aiohttp.TraceConfig:
    """Return what tells of the first name that resolves, and of the first connection.

    A name that has no address, or none that may be spoken to, is told of in neither case.
    """
    trace, told = aiohttp.TraceConfig(), set[CheckStage]()

    def once(stage: CheckStage) -> None:
        if stage not in told:
            told.add(stage)
            tell(stage)

    async def resolved(*_: Any) -> None:
        once(CheckStage.NAME)

    async def connected(*_: Any) -> None:
        once(CheckStage.NAME)  # of an address there is nothing to resolve
        once(CheckStage.CONNECTION)

    trace.on_dns_resolvehost_end.append(resolved)
    trace.on_connection_create_end.append(connected)
    return trace
