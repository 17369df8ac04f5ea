"""A check's login: the facade's own token broker, which tells of each step that it takes."""

from collections.abc import Sequence
from typing import assert_never

from facade.commands.check_report import CheckReport, CheckStep
from facade.registries.renewed import Lasting, Renewed
from facade.registries.token_broker import TokenBroker
from facade.registries.upstream_connector import known_challenge
from shared.secret import Secret
from shared.upstream.authorization import OneShotAuthorizer, answerable, mint
from shared.upstream.basic_credential import BasicCredential
from shared.upstream.challenge import BasicChallenge, BearerChallenge, Challenge
from shared.upstream.client import RegistryClient
from shared.upstream.errors import ChallengeError, CredentialRefusedError
from shared.upstream.scope import Scope
from shared.upstream.transport import UpstreamTransport


class CheckLogin:
    """The `Authorizer` of a check: that of a pull, which also tells of each step.

    Raises `StepFailedError` in place of an `UpstreamError`, which the report has then.
    """

    def __init__(
        self, transport: UpstreamTransport, credential: BasicCredential | None, report: CheckReport
    ) -> None:
        self._transport = transport
        self._credential = credential
        self._report = report
        self.client = RegistryClient(transport, self)
        known = known_challenge(report.connection.document.provider)
        self._shows_at_once = known is not None
        self._broker = TokenBroker(Renewed(self._given), self._exchange, known, self._prove)

    async def _prove(self, authorization: Secret) -> bool:
        """Prove it as a pull does. One repository is asked for, so nothing else depends on it."""
        await self.client.prove(authorization)
        return False

    async def present(self, scope: Scope) -> Secret | None:
        """Return what is sent with the first request: a provider's token even if nobody asked."""
        if self._shows_at_once:
            self._tell_challenge("basic", "whatever it asks, the token is shown as Basic")
        with self._report.failing_at(CheckStep.LOGIN):
            return await self._broker.present(scope)

    async def answer(
        self, challenges: tuple[Challenge, ...], scope: Scope, refused: Secret | None
    ) -> Secret | None:
        """Log in as a pull does."""
        step = self._tell_of(challenges) if challenges else CheckStep.LOGIN
        with self._report.failing_at(step):
            return await self._broker.answer(challenges, scope, refused)

    def worked(self, scope: Scope) -> None:
        """Have the broker know it."""
        self._broker.worked(scope)

    def ended(
        self, scope: Scope, *, is_open: bool, unreadable: ChallengeError | None = None
    ) -> None:
        """Have the broker know it."""
        self._broker.ended(scope, is_open=is_open, unreadable=unreadable)

    def close(self) -> None:
        """End what is being minted."""
        self._broker.close()

    def was_let_in(self) -> None:
        """Tell that nobody asked for a login, if nobody did."""
        self._tell_challenge("none", "the registry lets anybody in")
        if self._credential is None:
            self._report.skipped(CheckStep.LOGIN, "there is no credential to show")

    async def at_root(self, challenges: tuple[Challenge, ...] | None) -> None:
        """Log in for no repository, and try it; `challenges` None: no login is asked for."""
        scope = Scope.login()
        header = await self.present(scope)
        if header is None and challenges is not None:
            header = await self.answer(challenges, scope, None)
        self.was_let_in()
        if self._credential is not None:
            # Also to a registry that lets anybody in, because it still judges a password.
            await self._show(header or self._credential.authorization())

    async def _given(self) -> Lasting[BasicCredential | None]:
        return Lasting(self._credential, None)

    async def _exchange(
        self, challenge: BearerChallenge, scope: Scope, credential: BasicCredential | None
    ) -> Lasting[Secret]:
        minted = await mint(self._transport, challenge, scope, credential)
        if self._report.token_expires_in_seconds is None and minted.lifetime_seconds is not None:
            self._report.minted(minted.lifetime_seconds, "the token endpoint")
        return Lasting(minted.header, minted.lifetime_seconds)

    def _tell_of(self, challenges: Sequence[Challenge]) -> CheckStep:
        """Tell what the registry asks for; return the step at which that may fail."""
        if self._shows_at_once:
            return CheckStep.LOGIN
        with self._report.failing_at(CheckStep.CHALLENGE):
            challenge = answerable(challenges)
        match challenge:
            case BearerChallenge(realm=realm):
                self._tell_challenge("bearer", "with a token, as Bearer")
                self._tell_realm(realm)
                return CheckStep.EXCHANGE
            case BasicChallenge():
                self._tell_challenge("basic", "with user name and password, as Basic")
                return CheckStep.LOGIN
            case _ as unreachable:
                assert_never(unreachable)

    def _tell_challenge(self, scheme: str, words: str) -> None:
        """Tell how to log in, of the first answer only: not of what a pull does after it."""
        if self._report.auth_scheme is None:
            self._report.auth_scheme = scheme
            self._report.ok(CheckStep.CHALLENGE, words)

    def _tell_realm(self, realm: str) -> None:
        with self._report.failing_at(CheckStep.REALM):
            self._transport.target.require_realm(realm)
        if self._report.realm is None:
            self._report.realm = realm
            self._report.ok(CheckStep.REALM, f"{realm} may be shown the credential")

    async def _show(self, header: Secret) -> None:
        client = RegistryClient(self._transport, OneShotAuthorizer(self._transport, None))
        with self._report.failing_at(CheckStep.LOGIN):
            if not (await client.ping(header)).is_open:
                raise CredentialRefusedError("the registry refuses the credential")
        self._report.ok(CheckStep.LOGIN, "the registry takes the credential")
