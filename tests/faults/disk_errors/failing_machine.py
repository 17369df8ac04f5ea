"""A facade whose store lies on a disk that fails when it is told to, and what is said of it."""

import itertools
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import ExitStack, asynccontextmanager, closing
from pathlib import Path
from typing import Any, Final

from attrs import field, frozen

from facade.arrivals.ingest_writer import GATHERED_SECONDS
from facade.store.piece_checksums import CHECKED_BYTES, CHECKSUM_BYTES, LENGTH_BYTES
from facade.values.piece import PIECE_BYTES
from tests.faults.store_machine import Machine
from tests.faults.stored_files import require_right_files, stored_blobs
from tests.support.device_stream import End
from tests.support.eventually import PATIENCE_SECONDS, eventually
from tests.support.facade_states import pull_path
from tests.support.failing_disk.calls import Call
from tests.support.failing_disk.disk import FailingDisk, Fault
from tests.support.simulators.behaviour import Slow
from tests.system.facade.pulls import Outcome

LENGTH: Final = 4 * PIECE_BYTES + 5
DEVICES: Final = 3
AT_ONCE: Final = Slow(LENGTH, 0.005)  # a moment to join
IN_PARTS: Final = Slow(PIECE_BYTES, 1.2 * GATHERED_SECONDS)  # each is written by itself
WHOLE: Final = frozenset({End.WHOLE})
MAY_BE_CUT: Final = frozenset({End.WHOLE, End.RESET})

ARRIVING: Final = "*/ingest/*/data"
CHECKSUMS: Final = "*/ingest/*/checksums"
STORED: Final = "*/{hex}"
IN_CHECKSUMS: Final = LENGTH_BYTES + LENGTH // CHECKED_BYTES * CHECKSUM_BYTES // 2  # of a blob's
INDEX: Final = "*/index.sqlite3*"

_number = itertools.count()


@frozen
class Failure:
    """What fails, and how the answers of devices end that meet it."""

    call: Call
    pattern: str  # {hex}: the blob's
    ends: frozenset[End] = WHOLE
    besides: "Failure | None" = None
    options: Mapping[str, Any] = field(factory=dict)

    @asynccontextmanager
    async def on(self, disk: FailingDisk, digest: str = "") -> AsyncIterator[list[Fault]]:
        """Fail within the block, which ends when everything has failed that is to fail."""
        faults: list[Fault] = []
        with ExitStack() as stack:
            failure: Failure | None = self
            while failure is not None:
                pattern = failure.pattern.format(hex=digest.partition(":")[2])
                failing = disk.failing(failure.call, pattern, **failure.options)
                faults.append(stack.enter_context(failing))
                failure = failure.besides
            yield faults
            await eventually(lambda: all(fault.struck for fault in faults))

    @property
    def pace(self) -> Slow:
        """How fast a blob comes: what fails in the middle takes a middle."""
        return IN_PARTS if "from_byte" in self.options else AT_ONCE

    def judge(self, outcomes: list[Outcome], digest: str) -> None:
        """What ended cleanly was right; what may not be cut was not."""
        for each in outcomes:
            assert each.status == 200
            assert each.end in self.ends
            assert each.end is not End.WHOLE or each.digest == digest

    @staticmethod
    def cut(outcomes: list[Outcome]) -> int:
        """Return how many answers were cut."""
        return sum(each.end is not End.WHOLE for each in outcomes)


@frozen
class FailingMachine(Machine):
    """A facade whose store lies on a disk that fails when it is told to."""

    disk: FailingDisk

    async def is_well(self, digest: str) -> None:
        """The disk works again: each pull is right, a blob is soon kept, and nothing is held."""
        assert self.facade.is_ready()
        await eventually(lambda: self._is_served_from_the_store(digest))
        await eventually(lambda: not self.held() and not list(self.cache.glob("ingest/*")))
        require_right_files(self.cache)
        assert not self.facade.log_lines(status=500)
        assert not self.facade.log_lines(event="background work failed, it goes on")

    async def _is_served_from_the_store(self, digest: str) -> bool:
        """Pull, which is right in any case; tell whether upstream was left alone.

        Who joins the last moments of a download that met the fault leaves nothing behind.
        """
        asked = self.asked(digest)
        await self.pull(digest)
        return self.is_stored(digest) and self.asked(digest) == asked

    def manifest(self) -> tuple[str, Callable[[], Awaitable[None]]]:
        """Have upstream serve a new manifest; return its digest, and a right pull of it."""
        content = b'{"schemaVersion":2,"config":{},"layers":[],"annotations":{"a":"%d"}}' % next(
            _number
        )
        digest = self.upstream.manifest(content)

        async def pull() -> None:
            answer = await self.device.get(pull_path(self.upstream, digest, kind="manifests"))
            assert (answer.status, answer.body) == (200, content)

        return digest, pull

    async def keep(self, digest: str) -> None:
        """Have it stored, while nothing fails."""
        await self.pull(digest)
        await self.is_kept(digest)

    async def fill(self, quota: int) -> str:
        """Fill the store with blobs, of which the facade has none open; return what goes first."""
        first, *others = (self.blob(LENGTH, AT_ONCE) for _ in range(quota // LENGTH))
        for digest in (*others, first):
            await self.keep(digest)
        await eventually(lambda: not self.held())
        self.index_rows(f"UPDATE blobs SET used_at = 0 WHERE digest = '{first}'")
        return first

    def index_rows(self, query: str) -> list[tuple[Any, ...]]:
        """Ask the index, or change it."""
        index = sqlite3.connect(
            self.cache / "index.sqlite3", timeout=PATIENCE_SECONDS, isolation_level=None
        )
        with closing(index):
            return index.execute(query).fetchall()

    def have_scrubbed(self, digest: str) -> None:
        """Have a blob be due for the scrub."""
        self.index_rows(f"UPDATE blobs SET scrubbed_at = 0 WHERE digest = '{digest}'")

    def is_due(self) -> bool:
        """Tell whether anything is due for the scrub."""
        return bool(self.index_rows("SELECT 1 FROM blobs WHERE scrubbed_at = 0"))

    def is_stored(self, digest: str) -> bool:
        """Tell whether a blob is stored."""
        return any(path.name in digest for path in stored_blobs(self.cache))

    def is_noted(self, digest: str) -> bool:
        """Tell whether a blob counts as stored."""
        return bool(self.index_rows(f"SELECT 1 FROM blobs WHERE digest = '{digest}'"))

    def held(self) -> list[Path]:
        """Return the files of the store that the facade has open, but for the index and locks."""
        held = []
        for link in Path(f"/proc/{self.facade.child.pid}/fd").iterdir():
            try:
                path = link.readlink()
            except FileNotFoundError:  # closed meanwhile
                continue
            if path.is_relative_to(self.cache) and path.parent != self.cache:
                held.append(path)
        return held
