"""Lets operators in, and bounds what the refused logins of strangers cost.

- A refused login takes a token of its address's bucket, and one of everybody's together.
- When the address's bucket is empty, strangers from there get 429. When everybody's is empty,
  strangers are refused without a closer look. Either way a stranger costs one row of a query that
  asks about many (`NamedTokens`).
- A valid token is let in whatever its address did: its row names it, and then it is looked at.
- Behind a TLS proxy everybody has one address, so nothing is shared out by address.
"""

from collections.abc import Callable
from typing import Final, Self

from attrs import frozen

from control_plane.errors import NotAuthenticatedError, TooManyRequestsError
from control_plane.named_tokens import NamedTokens
from control_plane.operator_token import OperatorToken
from control_plane.operators import AuthenticatedOperator, Authenticator, unknown_token
from control_plane.rate_limit import RateLimit
from shared.site import site_of

REFUSED_LOGINS: Final = 100  # at once from one address: some scripts whose token was rotated
REFUSED_LOGINS_PER_SECOND: Final = 1.0
REFUSED_LOGINS_IN_ALL: Final = 500  # at once; each costs two short queries
REFUSED_LOGINS_PER_SECOND_IN_ALL: Final = 20.0
_EVERYBODY: Final = "everybody"


@frozen
class LoginGate:
    """Who calls, at a bounded cost."""

    _authenticator: Authenticator
    _named: NamedTokens
    _by_site: RateLimit | None  # None: behind a TLS proxy
    _in_all: RateLimit

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
        return cls(authenticator, named, None if behind_proxy else by_site, in_all)

    async def let_in(self, token: OperatorToken, peer: str) -> AuthenticatedOperator:
        """Return the operator of a token.

        Raises `NotAuthenticatedError`, `TooManyRequestsError`, and what `Database` raises.
        """
        site = site_of(peer)
        try:
            self._take(site, token)
        except (NotAuthenticatedError, TooManyRequestsError):
            if await self._named.has(token):
                return await self._authenticator.authenticate(token)
            raise
        try:
            operator = await self._authenticator.authenticate(token)
        except NotAuthenticatedError:
            raise
        except BaseException:  # nobody was refused: the database is away, or the caller
            self._give_back(site)
            raise
        self._give_back(site)
        return operator

    def _take(self, site: str, token: OperatorToken) -> None:
        if self._by_site is not None:
            self._by_site.take(site)
        if not self._in_all.may_take(_EVERYBODY):
            raise unknown_token(token, "there are too many refused logins to look closer")

    def _give_back(self, site: str) -> None:
        if self._by_site is not None:
            self._by_site.give_back(site)
        self._in_all.give_back(_EVERYBODY)
