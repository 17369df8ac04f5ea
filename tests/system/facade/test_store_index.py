"""The index of the store damaged, or the store rotting, under a facade that serves."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from attrs import define

from tests.support.eventually import eventually
from tests.support.facade_database import FacadeDatabase
from tests.support.facade_process import Answer, Device, Facade
from tests.support.facade_states import connect, pull_path
from tests.support.simulators.registry import RegistrySimulator
from tests.support.statement_writer import StatementWriter
from tests.system.facade.conftest import StartFacade
from tests.system.facade.stores import store_settings
from tests.system.facade.test_store import stored, successful_gets

CONTENT = bytes(range(256)) * 40


@define
class Stored:
    """A facade that stores a blob, and a device that has read it."""

    facade: Facade
    device: Device
    upstream: RegistrySimulator
    digest: str
    cache: Path

    async def pull(self) -> Answer:
        """Pull the blob."""
        return await self.device.get(pull_path(self.upstream, self.digest))


@pytest.fixture
async def stored_blob(
    own_writer: StatementWriter,
    own_database: FacadeDatabase,
    start_facade: StartFacade,
    upstream: RegistrySimulator,
    tmp_path: Path,
) -> Stored:
    """A blob that is stored, of a registry that was not asked since."""
    cache = tmp_path / "cache"
    facade = start_facade(own_writer, own_database.facade_url, store_settings(cache))
    digest = upstream.blob(CONTENT)
    await connect(facade, own_writer, upstream)
    found = Stored(facade, facade.device(), upstream, digest, cache)
    assert (await found.pull()).body == CONTENT
    await stored(facade, digest)
    upstream.requests.clear()
    return found


async def test_an_index_that_is_damaged_at_the_start_is_made_anew(stored_blob: Stored) -> None:
    """Every right is proven again by bringing the bytes; the quota knows what is stored."""
    facade = stored_blob.facade
    facade.stop()
    (stored_blob.cache / "index.sqlite3").write_bytes(b"no database" * 1000)
    facade.restart()
    assert facade.log_lines(event="index is damaged, made anew")
    assert (await stored_blob.pull()).body == CONTENT
    assert len(successful_gets(stored_blob.upstream)) == 1
    assert list((stored_blob.cache / "quarantine").glob("index-*"))
    with closing(sqlite3.connect(stored_blob.cache / "index.sqlite3")) as index:
        await eventually(lambda: index.execute("SELECT count(*) FROM blobs").fetchone() == (1,))
    assert (await stored_blob.pull()).body == CONTENT
    assert len(successful_gets(stored_blob.upstream)) == 1


async def test_an_index_that_is_damaged_while_it_is_used_breaks_no_pull(
    stored_blob: Stored,
) -> None:
    """Nobody has a right any more that can be read: everybody is served by upstream."""
    facade, index = stored_blob.facade, stored_blob.cache / "index.sqlite3"
    index.write_bytes(b"\xff" * index.stat().st_size)
    index.with_name("index.sqlite3-wal").write_bytes(b"")

    async def is_streamed() -> bool:
        assert (await stored_blob.pull()).body == CONTENT
        return bool(successful_gets(stored_blob.upstream))

    await eventually(is_streamed)
    other = stored_blob.upstream.blob(CONTENT[1:])
    path = pull_path(stored_blob.upstream, other)
    for _ in range(2):
        assert (await stored_blob.device.get(path)).body == CONTENT[1:]
    assert facade.log_lines(event="index failed, going on without it")
    assert metric(facade, "facade_store_index_failures_total") > 0
    assert facade.stop() == 0
    facade.restart()
    assert facade.log_lines(event="index is damaged, made anew")
    assert (await stored_blob.pull()).body == CONTENT


async def test_what_rots_unread_is_found(stored_blob: Stored) -> None:
    """The scrub reads what nobody touches; it is quarantined, counted, and fetched again."""
    facade = stored_blob.facade
    file = await stored(facade, stored_blob.digest)
    with closing(
        sqlite3.connect(stored_blob.cache / "index.sqlite3", isolation_level=None)
    ) as index:
        file.write_bytes(CONTENT[:-1] + b"!")
        index.execute("UPDATE blobs SET scrubbed_at = 0")
    await eventually(lambda: not file.exists())
    assert metric(facade, 'facade_store_rotten_blobs_total{found_by="scrub"}') == 1
    assert (await stored_blob.pull()).body == CONTENT
    await stored(facade, stored_blob.digest)
    assert facade.log_lines(event="stored blob is rotten, quarantined", digest=stored_blob.digest)


def metric(facade: Facade, name: str) -> float:
    """Return the value of a metric."""
    _, text = facade.operations("/metrics")
    found = [line for line in text.splitlines() if line.startswith(f"{name} ")]
    return float(found[0].rpartition(" ")[2]) if found else 0.0
