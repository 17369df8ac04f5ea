"""Lets callers of the API in: operators with their tokens, and persons with access tokens.

What strangers may cost is bounded for both together (`operators.login_gate`): a refused access
token takes from the same buckets. If those are empty, a person's token is verified all the same, as
an operator's is, but only so many a second; verifying takes up to a millisecond of a processor. A
token that let somebody in lately waits for none of this. Nothing is remembered of a token that let
nobody in.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from attrs import define, field, frozen

from control_plane.clock import Clock
from control_plane.errors import (
    NotAuthenticatedError,
    NotPermittedError,
    TooManyRequestsError,
)
from control_plane.operators.authenticated_operator import AuthenticatedOperator, LoginKind
from control_plane.operators.login_gate import LoginGate, RefusedLogins
from control_plane.operators.operator_token import OperatorToken
from control_plane.operators.permissions import Role
from control_plane.operators.rate_limit import RateLimit
from control_plane.single_sign_on.claims import (
    MAX_AGE_SECONDS,
    Claims,
    VerifiedPerson,
    person_of_access_token,
    require_access_token,
)
from control_plane.single_sign_on.configuration import SingleSignOn
from control_plane.single_sign_on.presented_token import (
    PresentedToken,
    TokenRefusedError,
    looks_signed,
)
from control_plane.single_sign_on.provider import OpenIdProvider
from control_plane.single_sign_on.provider_logouts import ProviderLogouts
from shared.bounded_map import BoundedMap
from shared.site import site_of

VERIFIED_BESIDE: Final = 200  # at once, of those who have no share of refused logins left
VERIFIED_BESIDE_PER_SECOND: Final = 20.0  # 2 percent of a processor at the most
REMEMBERED_PERSONS: Final = 1024  # tokens that let somebody in, by their hashes; 400 bytes each
REMEMBERED_PERSON_SECONDS: Final = 3600.0
_EVERYBODY: Final = "everybody"


@define(eq=False)
class Persons:
    """Lets persons in by their access tokens."""

    _configured: SingleSignOn
    _provider: OpenIdProvider
    _logouts: ProviderLogouts
    _refused_logins: RefusedLogins
    _clock: Clock
    _beside: RateLimit
    _let_in: BoundedMap[str, None] = field(init=False)

    @_let_in.default
    def _nobody_let_in(self) -> BoundedMap[str, None]:
        return BoundedMap(REMEMBERED_PERSONS, seconds=REMEMBERED_PERSON_SECONDS)

    @classmethod
    def of(
        cls,
        configured: SingleSignOn,
        provider: OpenIdProvider,
        logouts: ProviderLogouts,
        refused_logins: RefusedLogins,
        clock: Clock,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> "Persons":
        """Return those who let persons in, with the bounds of this module."""
        beside = RateLimit(
            monotonic,
            burst=VERIFIED_BESIDE,
            per_second=VERIFIED_BESIDE_PER_SECOND,
            what="refused logins",
        )
        return cls(configured, provider, logouts, refused_logins, clock, beside)

    async def let_in(self, text: str, peer: str) -> AuthenticatedOperator:
        """Return who calls with an access token.

        Raises `NotAuthenticatedError`, `NotPermittedError` for a person without a role,
        `TooManyRequestsError`, `SignOnUnavailableError`, and what `Database` raises.
        """
        if self._configured.audience is None:
            raise _refused(
                "access tokens are not accepted here (CONTROL_PLANE_OIDC_AUDIENCE is not set)"
            )
        try:
            token = PresentedToken.parse(text)
        except TokenRefusedError as error:
            raise _refused(str(error)) from None
        site = site_of(peer)
        is_taken = token.sha256 not in self._let_in and self._take(site)
        try:
            operator = await self._authenticated(token, self._configured.audience)
        except (NotAuthenticatedError, NotPermittedError):
            self._let_in.pop(token.sha256)
            raise
        except BaseException:  # nobody was refused: the provider or the database is away
            self._give_back(site, is_taken=is_taken)
            raise
        self._give_back(site, is_taken=is_taken)
        self._let_in.set(token.sha256, None)
        return operator

    def _take(self, site: str) -> bool:
        """Take a refused login of the stranger's share, which is given back to whoever is let in.

        Without a share left, tell so, if one more may be looked at beside it. Raises
        `TooManyRequestsError`.
        """
        try:
            if self._refused_logins.may_take(site):
                return True
        except TooManyRequestsError:
            pass  # the address has used its share, and may still be a person's
        self._beside.take(_EVERYBODY)
        return False

    def _give_back(self, site: str, *, is_taken: bool) -> None:
        if is_taken:
            self._refused_logins.give_back(site)

    async def _authenticated(self, token: PresentedToken, audience: str) -> AuthenticatedOperator:
        issuer = self._configured.issuer
        try:
            # Before a key is looked for: what is of somebody else costs no signature.
            require_access_token(
                token.type, token.unverified_claims, issuer=issuer, audience=audience
            )
            claims = await self._provider.verified_claims(token)
            require_access_token(token.type, claims, issuer=issuer, audience=audience)
            verified = person_of_access_token(
                claims, name_claim=self._configured.name_claim, at=self._clock()
            )
        except TokenRefusedError as error:
            raise _refused(str(error)) from None
        if await self._logouts.is_logged_out(
            str(verified.person), verified.issued_at, verified.session_id
        ):
            raise _refused("the provider has logged its person out since: log in again")
        return operator_of(verified, role_of(claims, self._configured))


@frozen
class Callers:
    """Whoever calls the API; `persons` is None without single sign-on."""

    tokens: LoginGate
    persons: Persons | None = None

    async def let_in(self, text: str, peer: str) -> AuthenticatedOperator:
        """Return who calls with a bearer token; raise as `LoginGate` and `Persons` do."""
        if not looks_signed(text):
            return await self.tokens.let_in(OperatorToken.presented(text), peer)
        if self.persons is None:
            raise _refused("single sign-on is not configured here (CONTROL_PLANE_OIDC_ISSUER)")
        return await self.persons.let_in(text, peer)


def role_of(claims: Claims, configured: SingleSignOn) -> Role:
    """Return the role that a person's claims give; raise `NotPermittedError` without one."""
    role = configured.roles.role_of(claims, configured.roles_claim)
    if role is None:
        raise NotPermittedError(
            "the provider gives you no role here: no value of the claim that"
            " CONTROL_PLANE_OIDC_ROLES_CLAIM names is one of CONTROL_PLANE_OIDC_ROLES; whoever"
            " runs the provider can add you to a group that is"
        )
    return role


def operator_of(verified: VerifiedPerson, role: Role) -> AuthenticatedOperator:
    """Return the caller that a person is."""
    identity = str(verified.person)
    end = min(verified.expires_at, verified.issued_at + MAX_AGE_SECONDS)
    return AuthenticatedOperator(
        identity,
        role,
        LoginKind.SINGLE_SIGN_ON,
        datetime.fromtimestamp(end, UTC),
        identity,
        verified.display_name,
    )


def _refused(why: str) -> NotAuthenticatedError:
    return NotAuthenticatedError(
        f"this token of single sign-on is not accepted: {why}", reason=f"access token: {why}"
    )
