"""Authorizations of one connection, minted on demand: what its client asks in every request.

Two levels are cached: the provider's credential for the whole host, and behind a Bearer challenge
one token for each scope, from the realm and service that this very scope was challenged with:
Artifactory has a token endpoint for each of its repositories, and one's is not asked for another.
Both live within the connection's access key: what a rotation or a revocation ends, ends with the
broker itself.
"""

import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final, assert_never

from attrs import define, field, frozen

from facade.registries.refusals import Refusals
from facade.registries.renewed import Lasting, Renewed
from shared.secret import Secret
from shared.upstream.authorization import answerable
from shared.upstream.challenge import BasicChallenge, BearerChallenge, Challenge
from shared.upstream.credentials.static import BasicCredential
from shared.upstream.errors import CredentialRefusedError, Step
from shared.upstream.scope import Scope

MAX_TOKENS: Final = 4096  # repositories of one registry in use at once; the least used goes
UNAUTHORIZED: Final = 401

LoginChallenge = BearerChallenge | BasicChallenge
Credentials = Renewed[BasicCredential | None]  # None: an anonymous connection
Prove = Callable[[Secret], Awaitable[None]]  # raises `CredentialRefusedError`
Exchange = Callable[[BearerChallenge, Scope, BasicCredential | None], Awaitable[Lasting[Secret]]]


@frozen(eq=False)
class _Token:
    challenge: BearerChallenge
    renewed: Renewed[Secret]


@define(eq=False)
class TokenBroker:
    """The `Authorizer` of one connection.

    `known_challenge` is what its registry takes whatever it says: Google's name a Bearer challenge,
    and take the provider's credential for their whole host all the same. `prove` shows a Basic
    credential to the registry once, before the first request of every device shows it: a hundred
    at once with a wrong password would lock the account.
    """

    _credentials: Credentials
    _exchange: Exchange
    _known_challenge: LoginChallenge | None = None
    _prove: Prove | None = None
    _clock: Callable[[], float] = time.monotonic
    _proof: Renewed[bool] = field(init=False)
    _tokens: OrderedDict[Scope, _Token] = field(factory=OrderedDict, init=False)
    _refusals: Refusals[Scope] = field(init=False)
    _challenge: LoginChallenge | None = field(init=False)  # the last one, of whatever scope

    def __attrs_post_init__(self) -> None:
        """Remember refusals by the same clock."""
        self._refusals = Refusals(self._clock)
        self._proof = Renewed(self._prove_credential, self._clock)
        self._challenge = self._known_challenge

    async def present(self, scope: Scope) -> Secret | None:
        """Return the value for the scope's challenge; None before its first.

        Basic is the whole host's: what one scope was challenged with holds for all.
        """
        challenge = self._challenge_of(scope)
        if challenge is None:
            return None
        return await self._authorization(challenge, scope)

    async def answer(
        self, challenges: tuple[Challenge, ...], scope: Scope, refused: Secret | None
    ) -> Secret | None:
        """Return a value to try once more with, or None.

        A value that had worked and is refused now is minted anew, at most once a minute.
        """
        if challenges and self._known_challenge is None:
            self._challenge = _without_scope(answerable(challenges))
        # without a challenge (docker/hub-feedback#2530) the scope's own stands, or the last one
        challenge = self._challenge if challenges else self._challenge_of(scope) or self._challenge
        if challenge is None:
            return None
        if refused is None:
            return await self._authorization(challenge, scope)
        offered = await self._minted_anew(challenge, scope, refused)
        if offered is None:
            self._remember_refusal(challenge, scope)
        return offered

    def worked(self, scope: Scope) -> None:
        """Note that the registry accepted what was presented: such a value may be minted anew."""
        self._credentials.is_proven = True
        token = self._tokens.get(scope)
        if token is not None:
            token.renewed.is_proven = True

    def close(self) -> None:
        """End what is being minted."""
        self._credentials.close()
        self._proof.close()
        for token in self._tokens.values():
            token.renewed.close()

    def _challenge_of(self, scope: Scope) -> LoginChallenge | None:
        if isinstance(self._challenge, BasicChallenge):
            return self._challenge
        token = self._tokens.get(scope)
        return token.challenge if token is not None else None

    async def _authorization(self, challenge: LoginChallenge, scope: Scope) -> Secret:
        self._refusals.require_none(scope)
        match challenge:
            case BasicChallenge():
                await self._proof.get()
                return await self._basic()
            case BearerChallenge():
                return await self._token(challenge, scope).get()
            case _ as unreachable:
                assert_never(unreachable)

    async def _basic(self) -> Secret:
        credential = await self._credentials.get()
        if credential is None:
            raise CredentialRefusedError("the registry asks for a login, we have none")
        return credential.authorization()

    async def _prove_credential(self) -> Lasting[bool]:
        if self._prove is not None:
            await self._prove(await self._basic())
        return Lasting(value=True, lifetime_seconds=None)

    async def _minted_anew(
        self, challenge: LoginChallenge, scope: Scope, refused: Secret
    ) -> Secret | None:
        """Return another value than the refused one, where one may be had."""
        if isinstance(challenge, BasicChallenge):
            credential = await self._credentials.get()
            is_the_refused = credential is not None and credential.authorization() == refused
            may_mint = not is_the_refused or self._credentials.drop(credential)
        else:
            may_mint = self._token(challenge, scope).drop(refused)
        if not may_mint:
            return None
        offered = await self._authorization(challenge, scope)
        return None if offered == refused else offered

    def _remember_refusal(self, challenge: LoginChallenge, scope: Scope) -> None:
        """Have no device try the same again for a while.

        A password that never worked is refused for every repository. One that did work may be
        refused for this one alone: Harbor answers 401 for what does not exist.
        """
        refusal = CredentialRefusedError("the registry refuses the connection's credential")
        self._refusals.remember(scope, refusal)
        if isinstance(challenge, BasicChallenge) and not self._credentials.is_proven:
            self._credentials.refuse(refusal)

    def _token(self, challenge: BearerChallenge, scope: Scope) -> Renewed[Secret]:
        token = self._tokens.get(scope)
        if token is None or token.challenge != challenge:
            renewed = Renewed(lambda: self._exchange_for(challenge, scope), self._clock)
            token = self._tokens[scope] = _Token(challenge, renewed)
        self._tokens.move_to_end(scope)
        while len(self._tokens) > MAX_TOKENS:
            self._tokens.popitem(last=False)
        return token.renewed

    async def _exchange_for(self, challenge: BearerChallenge, scope: Scope) -> Lasting[Secret]:
        credential = await self._credentials.get()
        try:
            return await self._exchange(challenge, scope, credential)
        except CredentialRefusedError as error:
            # 401 is about the credential, 403 about the scope; without one, all is about the scope.
            about_credential = (error.step, error.status) == (Step.EXCHANGE, UNAUTHORIZED)
            if credential is not None and about_credential:
                self._credentials.refuse(error)
            raise


def _without_scope(challenge: LoginChallenge) -> LoginChallenge:
    """Return what is the same for every repository: we ask for our own scope, never for theirs."""
    if isinstance(challenge, BasicChallenge):
        return challenge
    return BearerChallenge(realm=challenge.realm, service=challenge.service, scope=None)
