"""The token endpoints of one connection's registry: what they mint, and what their 401 is about.

A 401 of a token endpoint may be about the credential, about the repository, or come from a bad
node. Only the first may keep the connection from being used, so it is found out which it is.
"""

from collections.abc import Awaitable, Callable
from http import HTTPStatus

from attrs import define, field

from facade.registries.host_credential import HostCredential
from facade.registries.realm_proofs import RealmProofs, Verdict
from facade.registries.renewed import Lasting
from shared.failures import without_frames
from shared.secret import Secret
from shared.upstream.basic_credential import BasicCredential
from shared.upstream.challenge import BearerChallenge
from shared.upstream.errors import CredentialRefusedError, Step
from shared.upstream.scope import Scope

Exchange = Callable[[BearerChallenge, Scope, BasicCredential | None], Awaitable[Lasting[Secret]]]


@define(eq=False)
class TokenEndpoints:
    """What one connection asks of token endpoints, with its credential for the whole host."""

    _exchange: Exchange
    _credential: HostCredential
    _proofs: RealmProofs
    _has_taken: bool = field(default=False, init=False)  # one of them took the credential

    @property
    def is_at_rest(self) -> bool:
        """Whether nothing is being proven, or known to be wrong."""
        return self._proofs.is_at_rest

    def close(self) -> None:
        """End what is being proven."""
        self._proofs.close()

    async def mint(self, challenge: BearerChallenge, scope: Scope) -> Lasting[Secret]:
        """Return a token for a scope. Raises `UpstreamError`, and notes what a refusal is about."""
        token = await self._minted(challenge, scope)
        self._has_taken = True
        return token

    async def _minted(self, challenge: BearerChallenge, scope: Scope) -> Lasting[Secret]:
        credential = await self._credential.for_realm(challenge.endpoint)
        if credential is None:
            return await self._exchange(challenge, scope, None)  # all is about the scope
        try:
            if await self._proofs.require_not_wrong(challenge, credential):
                self._has_taken = True
            return await self._exchange(challenge, scope, credential)
        except CredentialRefusedError as error:
            # 401 is perhaps about the credential; 403 about the scope.
            if (error.step, error.status) == (Step.EXCHANGE, HTTPStatus.UNAUTHORIZED):
                await self._note_refusal(challenge, credential, without_frames(error))
            raise

    async def _note_refusal(
        self, challenge: BearerChallenge, credential: BasicCredential, error: CredentialRefusedError
    ) -> None:
        """Find out what a token endpoint's 401 refuses apart from the repository."""
        verdict = await self._proofs.judge(challenge, credential)
        if verdict in {Verdict.OF_REPOSITORY, Verdict.OF_ENDPOINT}:
            self._has_taken = True
        if verdict in {Verdict.OF_REPOSITORY, Verdict.UNKNOWN}:
            return
        # If one endpoint accepted it before, another may refuse it because a bad node named that
        # one.
        is_wrong = verdict is Verdict.OF_CREDENTIAL and not self._has_taken
        self._credential.refused_by_realm(
            challenge.endpoint, error, is_right=verdict is Verdict.OF_ENDPOINT, is_wrong=is_wrong
        )
