"""Somebody in Postgres' place answers without an end, while a device asks for a warm manifest."""

from collections.abc import Iterator, Mapping
from typing import Final

import pytest

from shared.outside_bytes import Party
from tests.adversary.facade.attacked import AttackedFacade
from tests.adversary.guards import bounds, check
from tests.support.facade_database import FacadeDatabase
from tests.support.facade_process import Facade
from tests.support.facade_states import write_and_wait
from tests.support.memory import MIB
from tests.support.simulators.hostile_postgres import Endless, HostilePostgres, message
from tests.support.statement_writer import StatementWriter
from tests.support.tcp_proxy import TcpProxy
from tests.system.facade.conftest import StartFacade

pytestmark = pytest.mark.attack

OTHERS: Final = "spiffe://example.com/fleet/line-a/device/other"
NOTICE: Final = message(b"N", b"SNOTICE\0VNOTICE\0C00000\0Mx\0\0")
ROW: Final = message(b"D", b"\0\1\0\0\0\1x")
GIB: Final = 1024 * MIB  # as long as a message of PostgreSQL may be
ANSWERS: Final[Mapping[str, Endless]] = {
    "notices": Endless(b"", NOTICE),
    "notices in the login": Endless(b"", NOTICE, in_login=True),
    "a notice of a GiB": Endless(b"N" + GIB.to_bytes(4), bytes(65536)),
    "a GiB in the login": Endless(b"S" + GIB.to_bytes(4), bytes(65536), in_login=True),
    "parameters": Endless(b"", message(b"S", b"name\0value\0")),
    "notifications": Endless(b"", message(b"A", b"\0\0\0\1other\0" + b"x" * 200 + b"\0")),
    "rows": Endless(b"1\0\0\0\4", ROW),
    "no protocol": Endless(b"", b"\0"),
}

# A thousand times as much as a login may have is less than that.
LONGER: Final = {
    "a GiB in the login": check(
        "shared/postgres/connect.py",
        "BoundedLoop(asyncio.get_running_loop(), MOST_LOGIN_BYTES)",
        "BoundedLoop(asyncio.get_running_loop(), 2**40)",
    )
}


@pytest.fixture
def link(own_database: FacadeDatabase) -> Iterator[TcpProxy]:
    """What leads to the database."""
    port = int(own_database.facade_url.rpartition(":")[2].partition("/")[0])
    with TcpProxy(port) as proxy:
        yield proxy


@pytest.fixture
def facade(
    own_writer: StatementWriter,
    own_database: FacadeDatabase,
    start_facade: StartFacade,
    settings: Mapping[str, str],
    link: TcpProxy,
) -> Facade:
    """A facade that reaches its database by the link."""
    url = own_database.facade_url.replace(f":{link.server_port}/", f":{link.port}/")
    return start_facade(own_writer, url, settings)


@bounds(
    "shared.postgres.connect.MOST_LOGIN_BYTES",
    "shared.postgres.bounded_answers.TURN_SECONDS",
    "shared.postgres.bounded_answers.PIECE_BYTES",
    "facade.approvals.database.MOST_ANSWER_BYTES",
)
@check(
    "shared/postgres/message_frames.py",
    "            if length < _LENGTH_BYTES:\n",
    "            if length < -(2**31):\n",
)
@pytest.mark.parametrize(
    "kind", [pytest.param(each, marks=LONGER.get(each, ())) for each in ANSWERS]
)
async def test_a_database_that_answers_without_an_end(
    kind: str, attacked: AttackedFacade, link: TcpProxy
) -> None:
    """It is left, and asked again later; what is believed is served meanwhile."""
    own_port = link.server_port
    async with (
        HostilePostgres(ANSWERS[kind]) as hostile,
        attacked.watched(f"a database: {kind}", Party.DATABASE) as attack,
    ):
        link.server_port = hostile.port
        link.reset()
        await attack.to_its_end()
        link.server_port = own_port
        link.reset()
    assert hostile.logins
    await write_and_wait(
        attacked.facade, attacked.writer, attacked.writer.device_revocation(OTHERS)
    )
