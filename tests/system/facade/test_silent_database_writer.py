"""A writer in Postgres whom no trigger gives away, or who waits until the facade is down."""

import attrs
import pytest
from attrs import define

from shared.oci import RepositoryName
from shared.statement import ConnectionApproval
from tests.support.database_writer import DatabaseWriter, Row
from tests.support.eventually import eventually
from tests.support.facade_database import FacadeDatabase
from tests.support.facade_process import Facade
from tests.support.facade_states import (
    CANARY_TOKEN,
    USERNAME,
    connect,
    pull_path,
    write_and_wait,
)
from tests.support.simulators.registry import RegistrySimulator
from tests.support.statement_writer import StatementWriter
from tests.system.facade.conftest import StartFacade
from tests.system.facade.tampering import (
    GONE,
    NO_SIGNATURE,
    OLDER,
    Scene,
    until_refused,
)

QUICK_POLL = {"FACADE_POLL_INTERVAL": "200ms"}


@pytest.fixture
async def polled(
    own_database: FacadeDatabase,
    own_writer: StatementWriter,
    start_facade: StartFacade,
    upstream: RegistrySimulator,
    bystander: RegistrySimulator,
) -> Scene:
    """A facade that polls, on a database whose triggers are about to be silenced."""
    facade = start_facade(own_writer, own_database.facade_url, QUICK_POLL)
    return await Scene.make(facade, own_writer, upstream, bystander)


async def test_the_poll_finds_what_no_trigger_tells(polled: Scene) -> None:
    """Whoever may write rows may drop a trigger too."""
    attacker, row = polled.attacker, polled.row
    await attacker.silence()
    await attacker.put(attrs.evolve(row, signature=bytes(64)))
    await polled.until_refused(NO_SIGNATURE)
    await polled.until_restored()
    await attacker.delete(row.subject)
    await polled.until_refused(GONE, times=2)
    await polled.until_restored()
    rotated = polled.writer.approval(
        str(polled.upstream.host),
        username=USERNAME,
        token=CANARY_TOKEN,
        plain_http=True,
        connection_id=polled.approval.connection_id,
        secret_version=2,
    )
    await write_and_wait(polled.facade, polled.writer, rotated)  # the poll finds good news too
    assert await polled.status() == 200
    await attacker.put(row)
    await polled.until_refused(OLDER, times=3)
    await attacker.sql("TRUNCATE statements")
    await eventually(lambda: "facade_approved_connections 0.0" in metrics(polled.facade))


async def test_what_is_read_is_the_signed_bytes_alone(polled: Scene) -> None:
    """A payload changed under its old signature may be refused or not noticed, never believed."""
    attacker = polled.attacker
    await attacker.silence()
    host = str(polled.upstream.host)
    changed = polled.row.payload.replace(host.encode(), b"127.0.0.1:1")
    assert changed != polled.row.payload
    await attacker.put(attrs.evolve(polled.row, payload=changed))
    await until_polled(polled)
    assert await polled.status() in {200, 404}
    believed = polled.path.replace(polled.upstream.host.path_form, "127.0.0.1_1")
    assert (await polled.device.get(believed)).error_code == "NAME_UNKNOWN"


async def until_polled(scene: Scene) -> None:
    """Return once a whole comparison that began after this call has ended."""
    writer, attacker = scene.writer, scene.attacker
    marker = writer.approval("marker.example")
    await attacker.put(Row.of(attrs.evolve(writer.sign(marker), signature=bytes(64)), marker))
    await until_refused(scene.facade, marker.subject, NO_SIGNATURE)


def metrics(facade: Facade) -> str:
    """Return the Prometheus text."""
    return facade.operations("/metrics")[1]


NAMES = ("untouched", "deleted", "changed", "rotated", "revoked", "vanished")


@define
class SixConnections:
    """Connections of one registry, by the prefix that each serves."""

    facade: Facade
    writer: StatementWriter
    upstream: RegistrySimulator
    paths: dict[str, str]
    approvals: dict[str, ConnectionApproval]

    @classmethod
    async def make(
        cls, facade: Facade, writer: StatementWriter, upstream: RegistrySimulator
    ) -> "SixConnections":
        """Connect them all."""
        paths, approvals = {}, {}
        for name in NAMES:
            repository = f"{name}/app"
            digest = upstream.blob(name.encode(), repository=repository)
            paths[name] = pull_path(upstream, digest, repository=repository)
            prefix = RepositoryName.parse(name)
            approvals[name] = await connect(facade, writer, upstream, repository_prefix=prefix)
        return cls(facade, writer, upstream, paths, approvals)

    async def served(self) -> set[str]:
        """Return the names of those that serve now."""
        device = self.facade.device()
        statuses = {name: (await device.get(path)).status for name, path in self.paths.items()}
        assert set(statuses.values()) <= {200, 404}
        return {name for name, status in statuses.items() if status == 200}

    async def rotate(self, name: str) -> None:
        """Approve a second secret."""
        await connect(
            self.facade,
            self.writer,
            self.upstream,
            repository_prefix=RepositoryName.parse(name),
            connection_id=self.approvals[name].connection_id,
            secret_version=2,
        )


async def test_a_facade_remembers_across_restarts_what_it_has_seen(
    own_database: FacadeDatabase,
    own_writer: StatementWriter,
    start_facade: StartFacade,
    upstream: RegistrySimulator,
) -> None:
    """Its state folder has the highest generation of every subject, tombstones included."""
    attacker = DatabaseWriter(own_database.owner_url)
    facade = start_facade(own_writer, own_database.facade_url)
    six = await SixConnections.make(facade, own_writer, upstream)
    rows = {name: await attacker.row(each.subject) for name, each in six.approvals.items()}
    await six.rotate("rotated")
    revocation = own_writer.revocation(six.approvals["revoked"].connection_id)
    await write_and_wait(facade, own_writer, revocation)
    await attacker.delete(rows["vanished"].subject)
    await until_refused(facade, rows["vanished"].subject, GONE)
    assert await six.served() == {"untouched", "deleted", "changed", "rotated"}
    assert facade.stop() == 0

    await attacker.delete(rows["deleted"].subject)
    await attacker.put(attrs.evolve(rows["changed"], signature=bytes(64)))
    await attacker.put(rows["rotated"])
    await attacker.put(rows["revoked"])
    facade.restart()
    for name, reason in (
        ("deleted", GONE),
        ("changed", NO_SIGNATURE),
        ("rotated", OLDER),
        ("revoked", OLDER),
    ):
        await until_refused(facade, rows[name].subject, reason)
    assert await six.served() == {"untouched"}

    facade.child.kill()
    for name in ("deleted", "changed", "vanished"):
        await attacker.put(rows[name])  # the genuine ones, of the generation that was seen
    facade.restart()

    async def serves_what_is_genuine() -> bool:
        return await six.served() == {"untouched", "deleted", "changed", "vanished"}

    await eventually(serves_what_is_genuine)


async def test_what_was_withdrawn_stays_so_without_postgres(
    own_database: FacadeDatabase,
    own_writer: StatementWriter,
    start_facade: StartFacade,
    upstream: RegistrySimulator,
) -> None:
    """The state folder alone brings nothing back that the database had lost."""
    attacker = DatabaseWriter(own_database.owner_url)
    facade = start_facade(own_writer, own_database.facade_url)
    six = await SixConnections.make(facade, own_writer, upstream)
    await attacker.delete(six.approvals["deleted"].subject)
    await until_refused(facade, six.approvals["deleted"].subject, GONE)
    facade.child.kill()
    facade.environment["FACADE_DATABASE_URL"] = "postgresql://nobody:nothing@127.0.0.1:1/none"
    facade.restart()
    assert await six.served() == set(NAMES) - {"deleted"}
