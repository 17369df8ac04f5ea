"""Lets operators in, and bounds how much the refused logins of strangers cost.

- A refused login takes a token from its address's bucket, and one from the bucket of everybody.
- If the address's bucket is empty, strangers from there get 429. If everybody's is empty, strangers
  are refused without a closer look. Either way a stranger costs one row of a query that asks about
  many (`NamedTokens`).
- A token that let somebody in lately is verified at once. Others wait for one of a few places, so
  that whoever sends a hundred of them together does not take the loop from those who work.
- A valid token is let in whatever its address did: its row names it, so it is verified. A row also
  names a token that expired; its refusal is remembered for some seconds.
- Behind a TLS proxy everybody has one address, so there are no buckets by address.
"""

import asyncio
from collections.abc import Callable
from typing import Final, Self

from attrs import field, frozen

from control_plane.errors import NotAuthenticatedError, TooManyRequestsError
from control_plane.operators.authenticated_operator import AuthenticatedOperator
from control_plane.operators.authenticator import Authenticator, unknown_token
from control_plane.operators.named_tokens import NamedTokens
from control_plane.operators.operator_token import OperatorToken
from control_plane.operators.rate_limit import RateLimit
from shared.bounded_map import BoundedMap
from shared.failures import without_frames
from shared.site import site_of

REFUSED_LOGINS: Final = 100  # at once from one address: some scripts whose token was rotated
REFUSED_LOGINS_PER_SECOND: Final = 1.0
REFUSED_LOGINS_IN_ALL: Final = 500  # at once; each costs two short queries
REFUSED_LOGINS_PER_SECOND_IN_ALL: Final = 20.0
# Of tokens that a row names and that let nobody in, because they expired or were replaced.
REMEMBERED_REFUSALS: Final = 1024  # some 800 bytes each
REMEMBERED_SECONDS: Final = 10.0  # verifying one of them again costs 3 ms
LOOKS_AT_ONCE: Final = 4  # of tokens that let nobody in lately; each takes 3 ms of a processor
# Tokens that let somebody in, by their hashes: more than an installation has in use.
REMEMBERED_LOGINS: Final = 1024  # some 400 bytes each
REMEMBERED_LOGIN_SECONDS: Final = 3600.0  # a script that calls less often waits like anybody
_EVERYBODY: Final = "everybody"


@frozen
class RefusedLogins:
    """How many logins may be refused, of an address and in all, before nobody looks closer."""

    _by_site: RateLimit | None  # None: behind a TLS proxy
    _in_all: RateLimit

    @classmethod
    def of(cls, monotonic: Callable[[], float], *, behind_proxy: bool) -> Self:
        """Return full buckets with the bounds of this module."""
        by_site = RateLimit(
            monotonic,
            burst=REFUSED_LOGINS,
            per_second=REFUSED_LOGINS_PER_SECOND,
            what="refused logins from this address",
        )
        in_all = RateLimit(
            monotonic,
            burst=REFUSED_LOGINS_IN_ALL,
            per_second=REFUSED_LOGINS_PER_SECOND_IN_ALL,
        )
        return cls(None if behind_proxy else by_site, in_all)

    def may_take(self, site: str) -> bool:
        """Take a token of the address and one of everybody; tell whether everybody's had one.

        Raises `TooManyRequestsError` if the address's bucket is empty.
        """
        if self._by_site is not None:
            self._by_site.take(site)
        return self._in_all.may_take(_EVERYBODY)

    def give_back(self, site: str) -> None:
        """Undo a `may_take`, because nobody was refused."""
        if self._by_site is not None:
            self._by_site.give_back(site)
        self._in_all.give_back(_EVERYBODY)


@frozen
class LoginGate:
    """Tells who calls, at a bounded cost."""

    _authenticator: Authenticator
    _named: NamedTokens
    refused_logins: RefusedLogins  # for others who let somebody in: a stranger has one share
    _refused: BoundedMap[str, NotAuthenticatedError] = field(init=False)
    _let_in: BoundedMap[str, None] = field(init=False)
    _places: asyncio.Semaphore = field(init=False)

    @_refused.default
    def _nothing_refused(self) -> BoundedMap[str, NotAuthenticatedError]:
        return BoundedMap(REMEMBERED_REFUSALS, seconds=REMEMBERED_SECONDS)

    @_let_in.default
    def _nobody_let_in(self) -> BoundedMap[str, None]:
        return BoundedMap(REMEMBERED_LOGINS, seconds=REMEMBERED_LOGIN_SECONDS)

    @_places.default
    def _all_places_free(self) -> asyncio.Semaphore:
        return asyncio.Semaphore(LOOKS_AT_ONCE)

    @classmethod
    def of(
        cls,
        authenticator: Authenticator,
        named: NamedTokens,
        monotonic: Callable[[], float],
        *,
        behind_proxy: bool,
    ) -> Self:
        """Return the gate with the bounds of this module."""
        return cls(authenticator, named, RefusedLogins.of(monotonic, behind_proxy=behind_proxy))

    async def let_in(self, token: OperatorToken, peer: str) -> AuthenticatedOperator:
        """Return the operator of a token.

        Raises `NotAuthenticatedError`, `TooManyRequestsError`, and what `Database` raises.
        """
        site = site_of(peer)
        try:
            self._take(site, token)
        except (NotAuthenticatedError, TooManyRequestsError):
            self._raise_remembered(token)
            if await self._named.has(token):
                return await self._look_once(token)
            raise
        try:
            operator = await self._look(token)
        except NotAuthenticatedError:
            raise
        except BaseException:  # nobody was refused: the database is away, or the caller
            self.refused_logins.give_back(site)
            raise
        self.refused_logins.give_back(site)
        return operator

    async def _look(self, token: OperatorToken) -> AuthenticatedOperator:
        if token.sha256 in self._let_in:
            return await self._looked_at(token)
        async with self._places:
            return await self._looked_at(token)

    async def _look_once(self, token: OperatorToken) -> AuthenticatedOperator:
        """Return the operator of a token that a row names; a refusal is remembered for a while."""
        if token.sha256 in self._let_in:
            return await self._looked_at(token)
        async with self._places:
            self._raise_remembered(token)  # somebody came with the same token meanwhile
            try:
                return await self._looked_at(token)
            except NotAuthenticatedError as error:
                self._refused.set(token.sha256, without_frames(error))
                raise

    async def _looked_at(self, token: OperatorToken) -> AuthenticatedOperator:
        try:
            operator = await self._authenticator.authenticate(token)
        except NotAuthenticatedError:
            self._let_in.pop(token.sha256)
            raise
        self._let_in.set(token.sha256, None)
        return operator

    def _raise_remembered(self, token: OperatorToken) -> None:
        if (refused := self._refused.get(token.sha256)) is not None:
            raise without_frames(refused) from None

    def _take(self, site: str, token: OperatorToken) -> None:
        if not self.refused_logins.may_take(site):
            raise unknown_token(token, "there are too many refused logins to look closer")
