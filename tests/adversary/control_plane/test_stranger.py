"""A stranger at the admin API, while an operator lists connections."""

from datetime import timedelta

import pytest

from control_plane.operators.operator_token import OperatorName
from control_plane.operators.permissions import Role
from shared.outside_bytes import Party
from tests.adversary.bounds import Allowed
from tests.adversary.control_plane.attacked import AttackedPlane
from tests.adversary.guards import bounds, check
from tests.support.control_plane import operators_of
from tests.support.eventually import eventually
from tests.support.held_sockets import held_sockets
from tests.support.stranger import invented_logins, logins

pytestmark = pytest.mark.attack
LOGINS_AT_A_TIME = 200
HALF_REQUESTS = 900
UNENDED_FORM_BYTES = 60 * 1024
UNAUTHORIZED = 401
MAX_LOG_BYTES = 4 * 1024 * 1024  # two requests in three had a line of 250 bytes before


TOLD = (
    "control_plane.operators.stranger_lines.REQUESTS_TOLD",
    "control_plane.operators.stranger_lines.REQUESTS_TOLD_IN_ALL",
    "control_plane.http.stranger_pace.ANSWERS_AT_ONCE",
    "control_plane.http.stranger_pace.ANSWERS_AT_ONCE_IN_ALL",
)
OPEN = (
    "control_plane.http.open_connections.MAX_CONNECTIONS",
    "control_plane.http.open_connections.MAX_CONNECTIONS_OF_SITE",
)


@bounds(*TOLD)
async def test_tokens_of_invented_names(attacked: AttackedPlane) -> None:
    """Each name was remembered, and each request had two lines."""
    async with attacked.watched("tokens of invented names", Party.STRANGER, Allowed()) as attack:
        while attack.goes_on:
            await invented_logins(attacked.plane.url, LOGINS_AT_A_TIME)
    assert attacked.plane.log.stat().st_size < MAX_LOG_BYTES


@bounds(*TOLD)
async def test_a_token_that_expired(attacked: AttackedPlane) -> None:
    """Its name is an operator's, so that it was looked at closely each time."""
    lifetime = timedelta(microseconds=1)
    async with operators_of(attacked.plane.owner_url, attacked.plane.keys) as operators:
        name = OperatorName("gone")
        token = await operators.add(name, Role.ADMIN, lifetime=lifetime, actor="shell:test")
    caller = attacked.plane.client(None, token=token.secret.reveal_text())

    async def has_expired() -> bool:
        return (await caller.call("GET", "/v1/connections")).status == UNAUTHORIZED

    await eventually(has_expired)
    statuses = set[int]()
    async with attacked.watched("a token that expired", Party.STRANGER, Allowed()) as attack:
        while attack.goes_on:
            statuses |= (await logins(attacked.plane.url, [token] * LOGINS_AT_A_TIME)).keys()
    assert statuses == {UNAUTHORIZED}
    assert attacked.plane.log.stat().st_size < MAX_LOG_BYTES


@bounds(*OPEN, "control_plane.console.submission.MAX_STRANGERS_FORM_BYTES")
async def test_forms_that_do_not_end(attacked: AttackedPlane) -> None:
    """Each form of the console was read whole before anybody was known, 384 KiB of it."""
    head = (
        f"POST /console/sign-in HTTP/1.1\r\nHost: 127.0.0.1:{attacked.plane.port}\r\n"
        "Sec-Fetch-Site: same-origin\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        f"Content-Length: {2 * UNENDED_FORM_BYTES}\r\n\r\ntoken="
    )
    said = head.encode() + b"a" * UNENDED_FORM_BYTES
    async with attacked.watched("forms that do not end on 900 sockets", Party.STRANGER) as attack:
        while attack.goes_on:
            async with held_sockets(attacked.plane.port, HALF_REQUESTS, said):
                answer = await attacked.plane.client("alice").call("GET", "/v1/connections")
                assert answer.status == 200


STOPPED_FORM_BYTES = 60 * 1024  # as long as a stranger's may be, of which the last half never comes


@check("control_plane/http/open_connections.py", " or is_strangers\n", "\n")
@pytest.mark.parametrize("addresses", [["127.0.0.1"], [f"127.0.0.{n}" for n in range(2, 8)]])
async def test_forms_that_stop(attacked: AttackedPlane, addresses: list[str]) -> None:
    """Each kept its place for as long as a body may take, and operators were put out for it."""
    head = (
        f"POST /console/sign-in HTTP/1.1\r\nHost: 127.0.0.1:{attacked.plane.port}\r\n"
        "Sec-Fetch-Site: same-origin\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        f"Content-Length: {STOPPED_FORM_BYTES}\r\n\r\ntoken="
    )
    said = head.encode() + b"a" * (STOPPED_FORM_BYTES // 2)
    name = f"forms that stop, from {len(addresses)} addresses"
    async with attacked.watched(name, Party.STRANGER) as attack:
        while attack.goes_on:
            async with held_sockets(attacked.plane.port, HALF_REQUESTS, said, addresses=addresses):
                answer = await attacked.plane.client("alice").call("GET", "/v1/connections")
                assert answer.status == 200


@bounds(*OPEN)
async def test_half_requests(attacked: AttackedPlane) -> None:
    """Nine hundred of them kept the sockets."""
    async with attacked.watched("half requests on 900 sockets", Party.STRANGER) as attack:
        while attack.goes_on:
            async with held_sockets(attacked.plane.port, HALF_REQUESTS):
                answer = await attacked.plane.client("alice").call("GET", "/v1/connections")
                assert answer.status == 200
