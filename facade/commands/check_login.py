"""A check's login: the challenge, who may be shown the credential, the token, and its use."""

from collections.abc import Sequence
from typing import assert_never

from attrs import define, field

from facade.commands.check_report import CheckReport, CheckStep
from shared.connection import Provider
from shared.secret import Secret
from shared.upstream.authorization import OneShotAuthorizer, answerable, mint
from shared.upstream.challenge import BasicChallenge, BearerChallenge, Challenge
from shared.upstream.client import RegistryClient
from shared.upstream.credentials.static import BasicCredential
from shared.upstream.errors import ChallengeError, CredentialRefusedError
from shared.upstream.scope import Scope
from shared.upstream.transport import UpstreamTransport


@define(eq=False)
class CheckLogin:
    """Logs in once, telling of each step; the `Authorizer` of what is asked behind it."""

    _transport: UpstreamTransport
    _credential: BasicCredential | None
    _report: CheckReport
    _header: Secret | None = field(default=None, init=False)

    async def present(self, scope: Scope) -> Secret | None:  # noqa: ARG002 - the protocol's
        """Return what the login gave; a provider's token is shown without being asked for."""
        if self._header is None and self._credential and not self._is_static:
            self._tell_challenge("basic", "whatever it asks, the token is shown as Basic")
            self._header = self._credential.authorization()
        return self._header

    async def answer(
        self, challenges: tuple[Challenge, ...], scope: Scope, refused: Secret | None
    ) -> Secret | None:
        """Log in where nothing was shown; a second refusal is final. Raises `StepFailedError`."""
        if refused is not None or not challenges:
            return None
        self._header = await self._log_in(challenges, scope)
        return self._header

    def worked(self, scope: Scope) -> None:
        """Keep nothing of that."""

    def ended(
        self, scope: Scope, *, is_open: bool, unreadable: ChallengeError | None = None
    ) -> None:
        """Keep nothing of that: nobody waits."""

    def close(self) -> None:
        """Hold nothing that would need an end."""

    def was_let_in(self) -> None:
        """Tell, where it was so, that nobody asked for a login."""
        if self._report.auth_scheme is None:
            self._tell_challenge("none", "the registry lets anybody in")
        if self._credential is None:
            self._report.skipped(CheckStep.LOGIN, "there is no credential to show")

    async def at_root(self, challenges: tuple[Challenge, ...] | None) -> None:
        """Log in for no repository, and try it; `challenges` None: the registry asks for none."""
        header = await self.present(Scope.login())
        if header is None and challenges is not None:
            header = await self._log_in(challenges, Scope.login())
        self.was_let_in()
        if self._credential is not None:
            # To a registry that lets anybody in as well: it still judges a password.
            await self._show(header or self._credential.authorization())

    @property
    def _is_static(self) -> bool:
        return self._report.connection.document.provider is Provider.STATIC

    async def _log_in(self, challenges: Sequence[Challenge], scope: Scope) -> Secret:
        with self._report.failing_at(CheckStep.CHALLENGE):
            challenge = answerable(challenges)
        step = CheckStep.EXCHANGE
        match challenge:
            case BearerChallenge(realm=realm):
                self._tell_challenge("bearer", "with a token, as Bearer")
                self._tell_realm(realm)
            case BasicChallenge():
                self._tell_challenge("basic", "with user name and password, as Basic")
                step = CheckStep.LOGIN
            case _ as unreachable:
                assert_never(unreachable)
        with self._report.failing_at(step):
            minted = await mint(self._transport, challenge, scope, self._credential)
        if minted.lifetime_seconds is not None:
            self._report.minted(minted.lifetime_seconds, "the token endpoint")
        return minted.header

    def _tell_challenge(self, scheme: str, words: str) -> None:
        self._report.auth_scheme = scheme
        self._report.ok(CheckStep.CHALLENGE, words)

    def _tell_realm(self, realm: str) -> None:
        with self._report.failing_at(CheckStep.REALM):
            self._transport.target.require_realm(realm)
        self._report.realm = realm
        self._report.ok(CheckStep.REALM, f"{realm} may be shown the credential")

    async def _show(self, header: Secret) -> None:
        client = RegistryClient(self._transport, OneShotAuthorizer(self._transport, None))
        with self._report.failing_at(CheckStep.LOGIN):
            if not (await client.ping(header)).is_open:
                raise CredentialRefusedError("the registry refuses the credential")
        self._report.ok(CheckStep.LOGIN, "the registry takes the credential")
