"""What is done for the store in the background: uses are written, it is measured and tidied."""

import asyncio
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

from attrs import frozen

from facade.loop.thread_work import in_store_thread
from facade.store.catalogue import Catalogue
from facade.store.evictor import Evictor
from facade.store.index import Index
from facade.store.layout import Layout
from facade.store.partials import Partials
from facade.store.quarantine import Quarantine
from facade.store.reconcile import folders, reconcile
from facade.store.uses import Uses
from shared.jitter import jittered
from shared.structured_log import get_logger

USES_WRITTEN_EVERY_SECONDS: Final = 5.0
MEASURED_EVERY_SECONDS: Final = 10.0  # more often than it is scraped
SHRUNK_AT_ONCE: Final = 16  # times a MiB that the index gives back then
TIDIED_EVERY_SECONDS: Final = 6 * 3600.0  # jittered; reads every folder of the store

_log = get_logger("facade.store")


@frozen(eq=False)
class StoreUpkeep:
    """The upkeep of one store by one process."""

    _layout: Layout
    _index: Index
    _catalogue: Catalogue
    _partials: Partials
    _quarantine: Quarantine
    _uses: Uses
    _evictor: Evictor

    async def keep_uses(self) -> None:
        """Write what is used, every few seconds, until cancelled."""
        while True:
            await asyncio.sleep(USES_WRITTEN_EVERY_SECONDS)
            await in_store_thread(self.write_uses)

    async def keep_measured(self) -> None:
        """Show how full the store is, every few seconds, until cancelled.

        So a scrape never waits for a disk, and a disk that hangs is not asked again and again.
        """
        while True:
            try:
                await in_store_thread(self.measure)
            except OSError as error:
                _log.warning("store not measured", reason=type(error).__name__)
            await asyncio.sleep(MEASURED_EVERY_SECONDS)

    def measure(self) -> None:
        """Show how full the store is. Blocks; raises `OSError`."""
        self._evictor.measure()

    def write_uses(self) -> None:
        """Write what was used since the last time. Blocks."""
        self._uses.write()
        for _ in range(SHRUNK_AT_ONCE):
            if not self._index.shrink():
                break

    async def keep_tidy(self) -> None:
        """Forget what was abandoned, every few hours, until cancelled."""
        while True:
            await asyncio.sleep(jittered(TIDIED_EVERY_SECONDS))
            try:
                for step in self._steps():  # other work of the store goes on in between
                    await in_store_thread(step)
            except OSError as error:
                _log.warning("store not tidied", reason=type(error).__name__)

    def tidy(self) -> None:
        """Make the catalogue agree with the files, and forget what was abandoned.

        Blocks; raises `OSError`.
        """
        for step in self._steps():
            step()

    def _steps(self) -> Iterator[Callable[[], None]]:
        """Yield what tidying consists of. Each blocks, and raises `OSError`."""
        for folder in folders():
            yield partial(reconcile, self._layout, self._catalogue, folder)
        yield self._partials.drop_abandoned
        yield self._quarantine.trim
