"""A restart verifies most of what it remembers after it is ready: nothing unverified serves."""

import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path

from facade.approvals.state_file import STATE_FILE_NAME
from shared.oci import RepositoryName
from tests.support.eventually import eventually
from tests.support.facade_database import FacadeDatabase
from tests.support.facade_process import Facade
from tests.support.facade_states import connect, pull_path, write_and_wait
from tests.support.simulators.registry import RegistrySimulator
from tests.support.statement_writer import StatementWriter
from tests.system.facade.conftest import StartFacade

CONNECTIONS = 2000  # verified in half a second or more
KILLS = 3
NOWHERE = "postgresql://nobody:nothing@127.0.0.1:1/none"
REFUSED = "remembered statement refused"


def metric(facade: Facade, name: str) -> float:
    """Return a metric without labels."""
    lines = facade.operations("/metrics")[1].splitlines()
    (line,) = (each for each in lines if each.startswith(f"{name} "))
    return float(line.split()[1])


def is_down_to(facade: Facade, left: int) -> bool:
    """Tell whether it restored what it remembers, and has verified all but so many at most."""
    restored = metric(facade, "facade_approved_connections") == CONNECTIONS
    return restored and metric(facade, "facade_unverified_statements") <= left


def tamper(facade: Facade, subject: str) -> None:
    """Change a remembered approval behind the facade's back."""
    path = Path(facade.environment["FACADE_STATE_DIR"]) / STATE_FILE_NAME
    with closing(sqlite3.connect(path)) as database, database:
        changed = database.execute(
            "UPDATE statements SET signature = zeroblob(64) WHERE subject = ?", (subject,)
        )
        assert changed.rowcount == 1


async def fill(facade: Facade, writer: StatementWriter) -> None:
    """Have many approved connections."""
    await writer.write_many(
        writer.approval(f"registry-{number}.example") for number in range(CONNECTIONS)
    )
    await eventually(lambda: metric(facade, "facade_approved_connections") == CONNECTIONS, 60)


async def test_killed_while_it_verifies_it_forgets_nothing(
    own_database: FacadeDatabase, own_writer: StatementWriter, start_facade: StartFacade
) -> None:
    """The next start begins again; and it says how far it is."""
    facade = start_facade(own_writer, own_database.facade_url)
    await fill(facade, own_writer)
    facade.environment["FACADE_DATABASE_URL"] = NOWHERE
    for kill in range(KILLS):
        facade.child.kill()
        facade.restart(wait=False)
        left = CONNECTIONS * (KILLS - kill) // (KILLS + 1)
        await eventually(partial(is_down_to, facade, left), 60)
    facade.child.kill()
    facade.restart()
    assert metric(facade, "facade_approved_connections") == CONNECTIONS
    await eventually(lambda: metric(facade, "facade_unverified_statements") == 0, 60)
    assert "not verified yet" not in facade.operations("/readyz")[1]
    assert metric(facade, "facade_approved_connections") == CONNECTIONS
    assert not facade.log_lines(event=REFUSED)


async def test_what_was_changed_on_disk_serves_only_from_the_database(
    own_database: FacadeDatabase,
    own_writer: StatementWriter,
    start_facade: StartFacade,
    upstream: RegistrySimulator,
) -> None:
    """Asked for at once, among many others, or never: it is refused, told, and sought."""
    facade = start_facade(own_writer, own_database.facade_url)
    await fill(facade, own_writer)
    path = pull_path(upstream, upstream.blob(b"content"))
    used = await connect(
        facade, own_writer, upstream, repository_prefix=RepositoryName.parse("team")
    )
    unused = own_writer.approval("unused.example")
    await write_and_wait(facade, own_writer, unused)
    facade.child.kill()
    for each in (used, unused):
        tamper(facade, each.subject)
    database = facade.environment["FACADE_DATABASE_URL"]

    facade.environment["FACADE_DATABASE_URL"] = NOWHERE
    facade.restart()
    assert (await facade.device().get(path)).status == 404
    await eventually(lambda: len(facade.log_lines(event=REFUSED)) == 2, 60)
    assert (await facade.device().get(path)).status == 404
    assert metric(facade, "facade_approved_connections") == CONNECTIONS

    facade.child.kill()
    facade.environment["FACADE_DATABASE_URL"] = database
    facade.restart()
    await eventually(lambda: metric(facade, "facade_unverified_statements") == 0, 60)
    await eventually(lambda: metric(facade, "facade_approved_connections") == CONNECTIONS + 2, 60)
    assert (await facade.device().get(path)).status == 200
