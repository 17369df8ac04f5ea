"""A stranger at the admin API, while an operator lists connections."""

from datetime import timedelta

import pytest

from control_plane.operators.operator_token import OperatorName
from control_plane.operators.permissions import Role
from shared.outside_bytes import Party
from tests.adversary.bounds import OPERATOR_P99_SECONDS, VICTIM_P99_SECONDS
from tests.adversary.watch import Target, Watch
from tests.support.control_plane import ControlPlane, operators_of
from tests.support.eventually import eventually
from tests.support.held_sockets import held_sockets
from tests.support.stranger import invented_logins, logins

pytestmark = pytest.mark.attack
LOGINS_AT_A_TIME = 200
HALF_REQUESTS = 900
UNENDED_FORM_BYTES = 60 * 1024
UNAUTHORIZED = 401
MAX_LOG_BYTES = 4 * 1024 * 1024  # two requests in three had a line of 250 bytes before


@pytest.mark.attack
async def test_tokens_of_invented_names(
    watch: Watch, target: Target, own_plane: ControlPlane
) -> None:
    """V13: each name was remembered, and each request had two lines."""
    async with watch(
        "V13",
        "tokens of invented names",
        Party.STRANGER,
        target,
        victim_p99_seconds=VICTIM_P99_SECONDS,
    ) as attack:
        while attack.goes_on:
            await invented_logins(own_plane.url, LOGINS_AT_A_TIME)
    assert own_plane.log.stat().st_size < MAX_LOG_BYTES


@pytest.mark.attack
async def test_a_token_that_expired(watch: Watch, target: Target, own_plane: ControlPlane) -> None:
    """W19: its name is an operator's, so that it was looked at closely each time."""
    lifetime = timedelta(microseconds=1)
    async with operators_of(own_plane.owner_url, own_plane.keys) as operators:
        name = OperatorName("gone")
        token = await operators.add(name, Role.ADMIN, lifetime=lifetime, actor="shell:test")
    caller = own_plane.client(None, token=token.secret.reveal_text())

    async def has_expired() -> bool:
        return (await caller.call("GET", "/v1/connections")).status == UNAUTHORIZED

    await eventually(has_expired)
    statuses = set[int]()
    async with watch(
        "W19",
        "a token that expired",
        Party.STRANGER,
        target,
        victim_p99_seconds=VICTIM_P99_SECONDS,
    ) as attack:
        while attack.goes_on:
            statuses |= (await logins(own_plane.url, [token] * LOGINS_AT_A_TIME)).keys()
    assert statuses == {UNAUTHORIZED}
    assert own_plane.log.stat().st_size < MAX_LOG_BYTES


@pytest.mark.attack
async def test_forms_that_do_not_end(watch: Watch, target: Target, own_plane: ControlPlane) -> None:
    """W8: each form of the console was read whole before anybody was known, 384 KiB of it."""
    head = (
        f"POST /console/sign-in HTTP/1.1\r\nHost: 127.0.0.1:{own_plane.port}\r\n"
        "Sec-Fetch-Site: same-origin\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        f"Content-Length: {2 * UNENDED_FORM_BYTES}\r\n\r\ntoken="
    )
    said = head.encode() + b"a" * UNENDED_FORM_BYTES
    async with watch(
        "W8",
        "forms that do not end on 900 sockets",
        Party.STRANGER,
        target,
        victim_p99_seconds=OPERATOR_P99_SECONDS,
    ) as attack:
        while attack.goes_on:
            async with held_sockets(own_plane.port, HALF_REQUESTS, said):
                answer = await own_plane.client("alice").call("GET", "/v1/connections")
                assert answer.status == 200


@pytest.mark.attack
async def test_half_requests(watch: Watch, target: Target, own_plane: ControlPlane) -> None:
    """W8: nine hundred of them kept the sockets."""
    async with watch(
        "W8",
        "half requests on 900 sockets",
        Party.STRANGER,
        target,
        victim_p99_seconds=OPERATOR_P99_SECONDS,
    ) as attack:
        while attack.goes_on:
            async with held_sockets(own_plane.port, HALF_REQUESTS):
                answer = await own_plane.client("alice").call("GET", "/v1/connections")
                assert answer.status == 200
