"""Our facade with its store, configured as it is delivered."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from attrs import define

from deploy.dev.processes import Child
from tests.bench.contenders.contender import Contender
from tests.bench.figures import FACADE
from tests.bench.upstream import PASSWORD, USERNAME
from tests.support.facade_database import FacadeDatabase
from tests.support.facade_process import Facade, FacadeFiles
from tests.support.facade_states import until_accepted
from tests.support.statement_writer import StatementWriter

SETTINGS = {
    "FACADE_CACHE_MAX_BYTES": "64GiB",  # as nginx has: nothing is evicted
    "FACADE_DEVICE_REQUESTS_PER_SECOND": "0",  # as the others have none
    "FACADE_LOG_LEVEL": "info",
    "FACADE_REUSE_PORT": "true",
}


@define
class Facades:
    """One facade, or several on one address with one cache."""

    files: FacadeFiles
    database: FacadeDatabase
    writer: StatementWriter
    first: Facade

    @classmethod
    def start(
        cls, files: FacadeFiles, database: FacadeDatabase, writer: StatementWriter, upstream: str
    ) -> "Facades":
        """Start one that may serve everything of the registry at `upstream` (`address:port`)."""
        settings = {**SETTINGS, "FACADE_CACHE_DIR": str(files.folder / "cache")}
        facade = Facade.start(files, database.facade_url, settings, cold=True)
        facades = cls(files, database, writer, facade)
        facades.approve(upstream)
        return facades

    def approve(self, upstream: str) -> None:
        """Let the first one serve everything of one more registry, and wait until it does."""
        approval = self.writer.approval(
            upstream, username=USERNAME, token=PASSWORD, plain_http=True
        )

        async def approve() -> None:
            await self.writer.write(approval)
            await until_accepted(self.first, approval)

        asyncio.run(approve())

    @contextmanager
    def another(self) -> Iterator[Child]:
        """Run one more, which devices meet at the same address."""
        settings = {
            **SETTINGS,
            "FACADE_CACHE_DIR": str(self.files.folder / "cache"),
            "FACADE_STATE_DIR": str(self.files.folder / "state-of-another"),
            "FACADE_LISTEN": f"127.0.0.1:{self.first.port}",
        }
        facade = Facade.start(self.files, self.database.facade_url, settings, cold=True)
        try:
            yield facade.child
        finally:
            facade.stop()


@contextmanager
def facade(facades: Facades, upstream: str) -> Iterator[Contender]:
    """Give the first facade, and stop it."""
    try:
        yield before(facades, upstream)
    finally:
        facades.first.child.stop()


def before(facades: Facades, upstream: str) -> Contender:
    """Return the first facade as what stands before one of its registries."""
    prefix = f"/v2/{upstream.replace(':', '_')}"
    return Contender(FACADE, facades.first.port, (facades.first.child,), prefix)
