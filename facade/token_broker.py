"""Authorizations minted on demand and kept until shortly before they expire.

The cache key is (realm, service, scope) within one connection's access key: what a rotation or a
revocation ends, ends with the broker itself. One mint is in flight for each key; a waiter's
cancellation is nobody else's failure. A refusal is remembered for a short, jittered time, for a
wrong password that every device retries locks the account.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final

from attrs import define, field, frozen

from shared.jitter import jittered
from shared.secret import Secret
from shared.upstream.authorization import MintedAuthorization, answerable
from shared.upstream.challenge import BasicChallenge, BearerChallenge, Challenge
from shared.upstream.errors import CredentialRefusedError, RateLimitedError, UpstreamError
from shared.upstream.scope import Scope

EXPIRY_MARGIN_SECONDS: Final = 30.0  # a token must outlast the request that it is sent with
EXPIRY_MARGIN_SHARE: Final = 0.2  # of a lifetime so short that 30 s would leave nothing
REFUSAL_SECONDS: Final = 30.0  # jittered down to half; five devices a second ask once a minute
FORCED_MINT_INTERVAL_SECONDS: Final = 60.0  # invented repositories are answered 401 too
MAX_KEYS: Final = 4096  # repositories of one registry in use at once; the least used goes

Mint = Callable[[BearerChallenge | BasicChallenge, Scope], Awaitable[MintedAuthorization]]
_Key = tuple[BearerChallenge | BasicChallenge, Scope | None]


@frozen
class _Held:
    header: Secret
    expires_at: float  # monotonic


@frozen
class _Refused:
    error: UpstreamError
    until: float  # monotonic


@define(eq=False)
class _Slot:
    """What is known of one key."""

    held: _Held | None = None
    refused: _Refused | None = None
    minting: asyncio.Task[Secret] | None = None
    forced_at: float = float("-inf")


@define(eq=False)
class TokenBroker:
    """The `Authorizer` of one connection."""

    _mint: Mint
    _minted: Callable[[], None]
    _clock: Callable[[], float] = time.monotonic
    _challenge: BearerChallenge | BasicChallenge | None = field(default=None, init=False)
    _slots: OrderedDict[_Key, _Slot] = field(factory=OrderedDict, init=False)

    async def present(self, scope: Scope) -> Secret | None:
        """Return the value for a scope of the last challenge's realm; None before the first."""
        if self._challenge is None:
            return None
        return await self._authorization(self._challenge, scope)

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
        slot = self._slot(self._challenge, scope)
        if refused is not None and slot.held is not None and slot.held.header == refused:
            now = self._clock()
            if now - slot.forced_at < FORCED_MINT_INTERVAL_SECONDS:
                return None
            slot.forced_at, slot.held = now, None
        offered = await self._authorization(self._challenge, scope)
        return None if offered == refused else offered

    async def _authorization(
        self, challenge: BearerChallenge | BasicChallenge, scope: Scope
    ) -> Secret:
        slot = self._slot(challenge, scope)
        now = self._clock()
        if slot.held is not None and now < slot.held.expires_at:
            return slot.held.header
        if slot.refused is not None and now < slot.refused.until:
            raise slot.refused.error
        if slot.minting is None:
            slot.minting = asyncio.create_task(self._mint_into(slot, challenge, scope))
        return await asyncio.shield(slot.minting)

    async def _mint_into(
        self, slot: _Slot, challenge: BearerChallenge | BasicChallenge, scope: Scope
    ) -> Secret:
        try:
            self._minted()
            minted = await self._mint(challenge, scope)
        except (CredentialRefusedError, RateLimitedError) as error:
            slot.refused = _Refused(error, self._clock() + _refusal_seconds(error))
            raise
        finally:
            slot.minting = None
        slot.held = _Held(minted.header, self._clock() + _usable_seconds(minted))
        slot.refused = None
        return minted.header

    def _slot(self, challenge: BearerChallenge | BasicChallenge, scope: Scope) -> _Slot:
        # Basic is the same for the whole host.
        key = (challenge, scope if isinstance(challenge, BearerChallenge) else None)
        slot = self._slots.setdefault(key, _Slot())
        self._slots.move_to_end(key)
        while len(self._slots) > MAX_KEYS:
            self._slots.popitem(last=False)
        return slot


def _without_scope(
    challenge: BearerChallenge | BasicChallenge,
) -> BearerChallenge | BasicChallenge:
    """Return what is the same for every repository: we ask for our own scope, never for theirs."""
    if isinstance(challenge, BasicChallenge):
        return challenge
    return BearerChallenge(realm=challenge.realm, service=challenge.service, scope=None)


def _usable_seconds(minted: MintedAuthorization) -> float:
    lifetime = minted.lifetime_seconds
    if lifetime is None:
        return float("inf")
    return lifetime - min(EXPIRY_MARGIN_SECONDS, lifetime * EXPIRY_MARGIN_SHARE)


def _refusal_seconds(error: CredentialRefusedError | RateLimitedError) -> float:
    asked = error.retry_after if isinstance(error, RateLimitedError) else None
    return asked if asked is not None else jittered(REFUSAL_SECONDS)
