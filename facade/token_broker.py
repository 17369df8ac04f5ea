"""Authorizations of one connection, minted on demand: what its client asks in every request.

The cache key is (realm, service, scope) within one connection's access key: what a rotation or a
revocation ends, ends with the broker itself.
"""

import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final

from attrs import define, field

from facade.renewed import Lasting, Renewed
from shared.secret import Secret
from shared.upstream.authorization import MintedAuthorization, answerable
from shared.upstream.challenge import BasicChallenge, BearerChallenge, Challenge
from shared.upstream.errors import CredentialRefusedError
from shared.upstream.scope import Scope

MAX_KEYS: Final = 4096  # repositories of one registry in use at once; the least used goes

LoginChallenge = BearerChallenge | BasicChallenge
Mint = Callable[[LoginChallenge, Scope], Awaitable[MintedAuthorization]]


@define(eq=False)
class TokenBroker:
    """The `Authorizer` of one connection."""

    _mint: Mint
    _minted: Callable[[], None]
    _clock: Callable[[], float] = time.monotonic
    _challenge: LoginChallenge | None = field(default=None, init=False)
    _authorizations: OrderedDict[tuple[LoginChallenge, Scope], Renewed[Secret]] = field(
        factory=OrderedDict, init=False
    )

    async def present(self, scope: Scope) -> Secret | None:
        """Return the value for a scope of the last challenge's realm; None before the first."""
        if self._challenge is None:
            return None
        return await self._authorization(self._challenge, scope).get()

    async def answer(
        self, challenges: tuple[Challenge, ...], scope: Scope, refused: Secret | None
    ) -> Secret | None:
        """Return a value to try once more with, or None.

        After a value that had worked was refused, one new mint for each key and minute.
        """
        if challenges:
            self._challenge = _without_scope(answerable(challenges))
        if self._challenge is None:
            return None
        authorization = self._authorization(self._challenge, scope)
        if refused is not None and not authorization.drop(refused):
            return None
        offered = await authorization.get()
        if offered == refused:
            # Nothing new comes of a password: it is not tried again at every device's request.
            authorization.refuse(CredentialRefusedError("the registry refuses the credential"))
            return None
        return offered

    def _authorization(self, challenge: LoginChallenge, scope: Scope) -> Renewed[Secret]:
        key = (challenge, scope)
        known = self._authorizations.get(key)
        if known is None:
            known = self._authorizations[key] = Renewed(
                lambda: self._mint_lasting(challenge, scope), self._clock
            )
        self._authorizations.move_to_end(key)
        while len(self._authorizations) > MAX_KEYS:
            self._authorizations.popitem(last=False)
        return known

    async def _mint_lasting(self, challenge: LoginChallenge, scope: Scope) -> Lasting[Secret]:
        if isinstance(challenge, BearerChallenge):
            self._minted()
        minted = await self._mint(challenge, scope)
        return Lasting(minted.header, minted.lifetime_seconds)


def _without_scope(challenge: LoginChallenge) -> LoginChallenge:
    """Return what is the same for every repository: we ask for our own scope, never for theirs."""
    if isinstance(challenge, BasicChallenge):
        return challenge
    return BearerChallenge(realm=challenge.realm, service=challenge.service, scope=None)
