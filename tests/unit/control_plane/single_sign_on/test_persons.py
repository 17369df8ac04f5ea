"""What strangers with access tokens may cost, and that persons are let in all the same."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from control_plane.clock import now
from control_plane.database.one_trip import Part
from control_plane.errors import (
    NotAuthenticatedError,
    NotPermittedError,
    SignOnUnavailableError,
    TooManyRequestsError,
)
from control_plane.operators.login_gate import REFUSED_LOGINS, RefusedLogins
from control_plane.operators.permissions import Role
from control_plane.proof.signed_log import SignedLog
from control_plane.single_sign_on.callers import VERIFIED_BESIDE, Persons
from control_plane.single_sign_on.configuration import SingleSignOn
from control_plane.single_sign_on.provider import OpenIdProvider
from control_plane.single_sign_on.provider_http import ProviderHttp
from control_plane.single_sign_on.provider_logouts import ProviderLogouts
from control_plane.single_sign_on.role_mapping import RoleMapping
from shared.setting_types import parse_networks
from tests.support.simulators.openid_provider import AUDIENCE, OpenIdSimulator

STRANGER, ELSEWHERE = "192.0.2.1", "192.0.2.2"


class NobodyLoggedOut:
    """A log and a database without a logout in them."""

    log = SignedLog()

    @asynccontextmanager
    async def reading(self, _: Part) -> AsyncIterator["NobodyLoggedOut"]:
        """Yield itself."""
        yield self

    def rows(self, _: Part) -> list[dict[str, Any]]:
        """Return that there is none."""
        return [{"at": None}]


@asynccontextmanager
async def persons(provider: OpenIdSimulator) -> AsyncIterator[Persons]:
    """Yield who lets persons in, on a clock that stands: no bucket fills again."""
    settings = SingleSignOn(
        issuer=provider.issuer,
        roles=RoleMapping({"approvers": Role.APPROVER}),
        roles_claim="roles",
        name_claim="email",
        scopes=("openid",),
        audience=AUDIENCE,
    )
    async with ProviderHttp.open(parse_networks("127.0.0.0/8")) as http:
        yield Persons.of(
            settings,
            OpenIdProvider(provider.issuer, http),
            ProviderLogouts(provider.issuer, cast("Any", NobodyLoggedOut())),
            RefusedLogins.of(lambda: 0.0, behind_proxy=False),
            now,
            lambda: 0.0,
        )


async def test_strangers_have_one_share_and_persons_go_on() -> None:
    """Of refused logins and of verifying beside it; nothing is remembered of whoever is refused."""
    async with OpenIdSimulator() as provider, persons(provider) as door:
        known = provider.access_token(jti="known")
        await door.let_in(known, STRANGER)
        found: Counter[type[Exception]] = Counter()
        for number in range(REFUSED_LOGINS + VERIFIED_BESIDE + 20):
            token = provider.access_token(sub=f"invented-{number}", aud="another")
            with pytest.raises((NotAuthenticatedError, TooManyRequestsError)) as refused:
                await door.let_in(token, STRANGER)
            found[type(refused.value)] += 1
        assert found == {
            NotAuthenticatedError: REFUSED_LOGINS + VERIFIED_BESIDE,
            TooManyRequestsError: 20,
        }
        assert (await door.let_in(known, STRANGER)).role == Role.APPROVER
        assert (await door.let_in(provider.access_token(sub="ben"), ELSEWHERE)).person
        with pytest.raises(TooManyRequestsError):
            await door.let_in(provider.access_token(jti="new"), STRANGER)
        assert provider.asked == 1


async def test_whoever_is_let_in_uses_up_nothing() -> None:
    """However often: a script with a token of its own for each call."""
    async with OpenIdSimulator() as provider, persons(provider) as door:
        for number in range(2 * REFUSED_LOGINS):
            await door.let_in(provider.access_token(jti=str(number)), STRANGER)
        me = await door.let_in(provider.access_token(exp=4_000_000_000), STRANGER)
        assert me.expires_at is not None
        assert (me.expires_at - datetime.now(UTC)).total_seconds() <= 24 * 3600


async def test_an_absent_provider_costs_nobody_their_share() -> None:
    """Nobody was refused; but whoever has no role was."""
    async with OpenIdSimulator() as provider, persons(provider) as door:
        provider.away = True
        for _ in range(2 * REFUSED_LOGINS):
            with pytest.raises(SignOnUnavailableError):
                await door.let_in(provider.access_token(), STRANGER)
    async with OpenIdSimulator() as provider, persons(provider) as door:
        await door.let_in(provider.access_token(), STRANGER)
        with pytest.raises(NotPermittedError, match="CONTROL_PLANE_OIDC_ROLES"):
            await door.let_in(provider.access_token(roles=[]), STRANGER)
