"""Whatever stands at the database's place answers, the facade goes on with what it believes."""

from typing import Final

from tests.support.eventually import eventually
from tests.support.facade_database import FACADE_PASSWORD, FacadeDatabase
from tests.support.facade_process import Facade
from tests.support.facade_states import connect, pull_path
from tests.support.flipped_bits import Flip, FlippedBits
from tests.support.simulators.registry import RegistrySimulator
from tests.support.statement_writer import StatementWriter
from tests.support.tcp_proxy import TcpProxy
from tests.system.facade.conftest import StartFacade

FAILED: Final = "background work failed, it goes on"
# Each was seen to be raised by asyncpg of a single bit, and none of them says "the database".
FLIPS: Final = {
    "AssertionError": Flip(b"D", 5, 0x01),  # the length of a row's first column
    "SystemError": Flip(b"D", 2, 0x80),  # which makes it negative
    "IndexError": Flip(b"T", 0, 0x01),  # how many columns there are
}


def failures(facade: Facade) -> set[str]:
    """Return the types of what failed in reading statements, as the log has them."""
    lines = facade.log_lines(event=FAILED, part="statements")
    return {line["exception"][0]["type"] for line in lines}


async def test_bits_flipped_on_the_way_are_an_unreadable_database_and_nothing_more(
    own_database: FacadeDatabase,
    own_writer: StatementWriter,
    start_facade: StartFacade,
    upstream: RegistrySimulator,
) -> None:
    """An exception that nobody foresaw ended the process, and ended it again at each start."""
    bits = FlippedBits(tuple(FLIPS.values()))
    port = int(own_database.facade_url.rpartition(":")[2].partition("/")[0])
    with TcpProxy(port, bits.make_filter) as proxy:
        url = own_database.facade_url.replace(f":{port}/", f":{proxy.port}/")
        facade = start_facade(own_writer, url, {"FACADE_POLL_INTERVAL": "200ms"})
        path = pull_path(upstream, upstream.blob(b"content"))
        await connect(facade, own_writer, upstream)
        device = facade.device()
        bits.is_on = True
        await eventually(lambda: failures(facade) == FLIPS.keys())
        assert facade.child.running
        assert (await device.get(path)).status == 200
        status, words = facade.operations("/readyz")
        assert (status, "the database cannot be read" in words) == (200, True)
        metrics = facade.operations("/metrics")[1]
        assert 'facade_problem{part="database"} 1.0' in metrics
        assert 'facade_problem{part="background"} 1.0' in metrics
        assert 'facade_background_failures_total{work="statements"}' in metrics
        facade.child.kill()
        facade.restart()  # on what its state folder has
        assert (await device.get(path)).status == 200
        bits.is_on = False
        await eventually(lambda: "following the database" in facade.operations("/readyz")[1])
        approval = await connect(facade, own_writer, upstream, repository_prefix="later")
        assert facade.log_lines(event="statement accepted", subject=approval.subject)
        assert FACADE_PASSWORD not in facade.log_text
