"""A check's login: the challenge, who may be shown the credential, the token, and its use."""

from collections.abc import Sequence
from typing import assert_never

from typing_extensions import override

from facade.check_report import CheckReport, CheckStep
from shared.connection import Provider
from shared.secret import Secret
from shared.upstream.authorization import OneShotAuthorizer, answerable, mint
from shared.upstream.challenge import BasicChallenge, BearerChallenge, Challenge
from shared.upstream.client import RegistryClient
from shared.upstream.credentials.static import BasicCredential
from shared.upstream.errors import CredentialRefusedError
from shared.upstream.scope import Scope
from shared.upstream.transport import UpstreamTransport


class PresentingAuthorizer(OneShotAuthorizer):
    """Presents what a login gave; without any, logs in where it is challenged."""

    def __init__(
        self,
        transport: UpstreamTransport,
        credential: BasicCredential | None,
        header: Secret | None,
    ) -> None:
        super().__init__(transport, credential)
        self._header = header

    @override
    async def present(self, scope: Scope) -> Secret | None:
        """Return the login's value of `Authorization`."""
        return self._header


async def log_in(
    transport: UpstreamTransport,
    challenges: Sequence[Challenge] | None,
    credential: BasicCredential | None,
    report: CheckReport,
    *,
    scope: Scope,
) -> Secret | None:
    """Return what is sent with pulls; None where nothing is before the registry asks for it.

    `challenges` None: the registry asked for none. What it is shown is tried by itself where no
    pull of a repository will. Raises `StepFailedError`.
    """
    header = await _authorization(transport, challenges, credential, report, scope)
    if credential is None:
        report.skipped(CheckStep.LOGIN, "there is no credential to show")
    elif scope.repository is None:
        # Asked of a registry that lets anybody in as well: it still judges a password.
        await _show(transport, header or credential.authorization(), report)
    return header


async def _authorization(
    transport: UpstreamTransport,
    challenges: Sequence[Challenge] | None,
    credential: BasicCredential | None,
    report: CheckReport,
    scope: Scope,
) -> Secret | None:
    if credential and report.connection.document.provider is not Provider.STATIC:
        report.auth_scheme = "basic"
        report.ok(CheckStep.CHALLENGE, "whatever the registry asks, it takes the token as Basic")
        return credential.authorization()
    if challenges is None:
        report.auth_scheme = "none"
        report.ok(CheckStep.CHALLENGE, "the registry lets anybody in")
        return None
    with report.failing_at(CheckStep.CHALLENGE):
        challenge = answerable(challenges)
    _tell_challenge(transport, challenge, report)
    is_basic = isinstance(challenge, BasicChallenge)
    with report.failing_at(CheckStep.LOGIN if is_basic else CheckStep.EXCHANGE):
        minted = await mint(transport, challenge, scope, credential)
    if minted.lifetime_seconds is not None:
        report.minted(minted.lifetime_seconds, "the token endpoint")
    return minted.header


def _tell_challenge(
    transport: UpstreamTransport, challenge: BearerChallenge | BasicChallenge, report: CheckReport
) -> None:
    match challenge:
        case BearerChallenge(realm=realm):
            report.auth_scheme = "bearer"
            report.ok(CheckStep.CHALLENGE, "with a token, as Bearer")
            with report.failing_at(CheckStep.REALM):
                transport.target.require_realm(realm)
            report.realm = realm
            report.ok(CheckStep.REALM, f"{realm} may be shown the credential")
        case BasicChallenge():
            report.auth_scheme = "basic"
            report.ok(CheckStep.CHALLENGE, "with user name and password, as Basic")
        case _ as unreachable:
            assert_never(unreachable)


async def _show(transport: UpstreamTransport, header: Secret, report: CheckReport) -> None:
    client = RegistryClient(transport, OneShotAuthorizer(transport, None))
    with report.failing_at(CheckStep.LOGIN):
        if not (await client.ping(header)).is_open:
            raise CredentialRefusedError("the registry refuses the credential")
    report.ok(CheckStep.LOGIN, "the registry takes the credential")
