"""Connection checks: the registry is asked to log in, from here, before anything is stored.

A registry that cannot be reached from here is `skipped`, because the facade may stand in another
network. A check reaches public addresses. Of the networks that a connection asks for, it reaches
those that whoever runs this control plane opened to checks.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

from attrs import evolve, field, frozen

from control_plane.connections.request import ConnectionRequest
from control_plane.connections.revision import RecordedCheck
from control_plane.errors import CheckFailedError, FieldError
from control_plane.operators.rate_limit import RateLimit
from control_plane.proof.actor import Actor
from control_plane.proof.acts import Acts
from shared.canonical_json import Network
from shared.connection import Anonymous, EcrRole, GoogleServiceAccount, UsernameAndToken
from shared.oci import RepositoryName
from shared.registry_host import RegistryHost
from shared.upstream.basic_credential import BasicCredential
from shared.upstream.check import (
    NOT_ALLOWED,
    NOT_RESOLVED,
    CheckOutcome,
    CheckProblem,
    LoginCheck,
    TellStage,
    check_login,
    check_of_error,
    is_about_addresses,
    told_nobody,
)
from shared.upstream.credentials.google import GoogleServiceAccountProvider, GoogleTokenEndpoint
from shared.upstream.credentials.google_key import GoogleServiceAccountKey
from shared.upstream.egress import LOOPBACK
from shared.upstream.errors import UpstreamError
from shared.upstream.hosts import nearest_known_host
from shared.upstream.proxy import OutboundProxy
from shared.upstream.target import UpstreamTarget

CHECK_TIMEOUT_SECONDS: Final = 30.0  # a person waits for the answer

NOT_ASKED: Final = RecordedCheck(CheckOutcome.SKIPPED.value, "not_asked")
# The customer's role trusts the facade's AWS identity, which this process does not have.
ROLE_NOT_ASSUMED: Final = LoginCheck(
    CheckOutcome.SKIPPED,
    problem=CheckProblem(
        "aws_not_asked", "the facade alone can assume the role: `facade check` tries it"
    ),
)


@frozen
class Checks:
    """Asks registries, no more often than allowed, and records who asked for it."""

    acts: Acts
    limit: RateLimit
    google: GoogleTokenEndpoint
    networks: tuple[Network, ...] = field(factory=tuple)
    proxy: OutboundProxy | None = None

    async def check(
        self,
        request: ConnectionRequest,
        *,
        actor: Actor,
        repository: RepositoryName | None = None,
        tell: TellStage = told_nobody,
    ) -> LoginCheck:
        """Return what the registry said; raise `TooManyRequestsError`.

        `repository` is asked for as well. `tell` is told of each stage once it is done.
        """
        check = await self._ask(request, actor, repository, tell)
        await self._record("connection.check", request, check, actor)
        return check

    async def require_passed(self, request: ConnectionRequest, *, actor: Actor) -> RecordedCheck:
        """Return what to record of a connection's check; raise `CheckFailedError` if it failed."""
        check = await self._ask(request, actor)
        if check.outcome is not CheckOutcome.FAILED:
            return recorded(check)
        await self._record("connection.refuse", request, check, actor)
        raise _failed(request, check)

    async def _record(
        self, action: str, request: ConnectionRequest, check: LoginCheck, actor: Actor
    ) -> None:
        async with self.acts.begin() as act:
            act.record(
                actor=actor,
                action=action,
                about=f"registry/{request.host}",
                details=recorded(check).details(),
            )

    async def _ask(
        self,
        request: ConnectionRequest,
        actor: Actor,
        repository: RepositoryName | None = None,
        tell: TellStage = told_nobody,
    ) -> LoginCheck:
        if isinstance(request.credential, EcrRole):
            return ROLE_NOT_ASSUMED
        self.limit.take(actor.name)
        try:
            async with asyncio.timeout(CHECK_TIMEOUT_SECONDS):
                return await self._log_in(request, repository, tell)
        except TimeoutError:
            problem = CheckProblem("timeout", f"no end within {CHECK_TIMEOUT_SECONDS:.0f} s")
            return LoginCheck(CheckOutcome.SKIPPED, problem=problem)

    async def _log_in(
        self, request: ConnectionRequest, repository: RepositoryName | None, tell: TellStage
    ) -> LoginCheck:
        try:
            credential = await self._credential(request)
        except UpstreamError as error:
            return check_of_error(error)
        check = await check_login(
            _target(request, self.networks),
            credential,
            repository=repository,
            proxy=self.proxy,
            tell=tell,
        )
        return _with_nearest_name(_without_the_inside(check, request.host), request.host)

    async def _credential(self, request: ConnectionRequest) -> BasicCredential | None:
        """Return the credential that the registry is shown, if any; raise `UpstreamError`."""
        if request.secret is None:
            return None
        match request.credential:
            case UsernameAndToken(username):
                return BasicCredential(username, request.secret)
            case GoogleServiceAccount():
                key = await asyncio.to_thread(GoogleServiceAccountKey.from_secret, request.secret)
                return (await GoogleServiceAccountProvider(key, self.google).mint()).basic
            case _:
                return None


def _without_the_inside(check: LoginCheck, host: RegistryHost) -> LoginCheck:
    """Return the check; it does not tell a name that is missing from one of an inner network.

    Otherwise a connector could map the names and networks that this process can see, through
    hosts, realms and redirects. Problems with addresses that checks may reach stay as they are.
    """
    problem = check.problem
    if problem is None or not is_about_addresses(problem):
        return check
    if host.address is not None:
        closed = CheckProblem(NOT_ALLOWED, "its address is not one that checks may reach")
    else:
        closed = CheckProblem(NOT_RESOLVED, "the name has no address that checks may reach")
    return evolve(check, outcome=CheckOutcome.SKIPPED, problem=closed)


def _with_nearest_name(check: LoginCheck, host: RegistryHost) -> LoginCheck:
    """Return the check; if the name does not resolve, it suggests a known one that is similar."""
    problem = check.problem
    if problem is None or problem.code != NOT_RESOLVED:
        return check
    if (nearest := nearest_known_host(str(host))) is None:
        return check
    text = f"{problem.text}; did you mean {nearest}?"
    return evolve(check, problem=CheckProblem(NOT_RESOLVED, text))


def recorded(check: LoginCheck) -> RecordedCheck:
    """Return what is kept of a check: its outcome, and the code of its problem."""
    return RecordedCheck(check.outcome.value, check.problem.code if check.problem else None)


def check_view(check: LoginCheck) -> dict[str, object]:
    """Return the check as the API shows it."""
    return {
        "outcome": check.outcome.value,
        "auth_scheme": check.auth_scheme,
        "realm": check.realm,
        "token_expires_in_seconds": check.token_expires_in_seconds,
        "problem": check.problem.code if check.problem else None,
        "detail": check.problem.text if check.problem else None,
    }


def networks_within(wanted: Sequence[Network], opened: Sequence[Network]) -> tuple[Network, ...]:
    """Return the networks that are in both lists: of two that overlap, the smaller one."""
    pairs = ((one, other) for one in wanted for other in opened if one.version == other.version)
    return tuple(
        max(one, other, key=lambda network: network.prefixlen)
        for one, other in pairs
        if one.overlaps(other)
    )


def _target(request: ConnectionRequest, opened: tuple[Network, ...]) -> UpstreamTarget:
    allow_loopback = bool(networks_within(LOOPBACK, opened))
    target = UpstreamTarget.of_terms(request, allow_loopback=allow_loopback)
    return evolve(target, allowed_networks=networks_within(target.allowed_networks, opened))


def _failed(request: ConnectionRequest, check: LoginCheck) -> CheckFailedError:
    code = check.problem.code if check.problem else ""
    pointer = "/host"
    # the field is named only if another entry in it would help
    if code == "realm_not_allowed" and check.realm_entry is not None:
        pointer = "/auth_realms"
    if code == "tls_failed" and request.ca_certificate:
        pointer = "/ca_certificate"
    if code == "credential_refused":
        pointer = _credential_pointer(request)
    detail = check.problem.text if check.problem else "the check failed"
    return CheckFailedError(FieldError(pointer, detail), check_view(check))


def _credential_pointer(request: ConnectionRequest) -> str:
    if isinstance(request.credential, Anonymous):
        return "/username"  # the registry wants a credential
    return (
        "/service_account_key" if isinstance(request.credential, GoogleServiceAccount) else "/token"
    )
