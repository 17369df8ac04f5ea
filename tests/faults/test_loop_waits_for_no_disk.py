"""What the store does to files is done in threads: a disk that hangs stops no loop.

Whatever opens, makes, renames or deletes a file by its name says so to the interpreter
(`sys.addaudithook`). What openat2(2) opens from the kernel's memory does not, and never waits. What
SQLite is asked about rights, it says itself.
"""

import asyncio
import os
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from attrs import define, field

from facade.store.scrub import Scrubber
from facade.values.piece import PIECE_BYTES
from tests.faults.registry_answers import CONTENTS
from tests.faults.stored_world import World
from tests.support.eventually import eventually
from tests.support.rot import rot
from tests.support.simulators.behaviour import Behaviour, Holds, Honest, OtherBytes

REPOSITORY: Final = "team/app"
QUOTA: Final = 6 * PIECE_BYTES
_BY_NAME: Final = frozenset(
    ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.listdir", "os.scandir")
)


@define(eq=False)
class LoopWatch:
    """What the loop's thread does to files below a folder."""

    folder: Path
    seen: list[str] = field(factory=list)
    in_threads: set[str] = field(factory=set)
    _loop: int | None = None  # its thread, while it is watched

    def note(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Be told of anything that happens."""
        if self._loop is None or event not in _BY_NAME:
            return
        path = os.fspath(arguments[0]) if isinstance(arguments[0], str | os.PathLike) else ""
        if not path.startswith(str(self.folder)):
            return
        if threading.get_ident() == self._loop:
            self.seen.append(f"{event} {path.removeprefix(str(self.folder))}")
        else:
            self.in_threads.add(event)

    def note_question(self, statement: str) -> None:
        """Be told of anything that the index is asked about rights."""
        if threading.get_ident() == self._loop:
            self.seen.append(statement)
        elif self._loop is not None:
            self.in_threads.add("index")

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch the loop that runs the block."""
        self._loop = threading.get_ident()
        try:
            yield
        finally:
            self._loop = None


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """Two facades' stores on one folder, before a registry."""
    world = await World.start(tmp_path, QUOTA, "g")
    yield world
    await world.stop()


@pytest.fixture
def watch(world: World) -> LoopWatch:
    """Watches what the test's own loop does below the folder."""
    watch = LoopWatch(world.folder)
    sys.addaudithook(watch.note)  # for good, but it looks only while it is told to
    for process in world.processes:
        with process.store.index.reading() as reader:
            reader.set_trace_callback(watch.note_question)
    return watch


def serve(world: World, name: str, get: Behaviour | None = None) -> None:
    """Have the registry answer so from now on."""
    world.hosts["g"].serve(CONTENTS[name], REPOSITORY, get or Honest(), None)


async def pull(world: World, name: str, process: int = 0) -> bytes | None:
    """Pull through one of the facades."""
    return await world.processes[process].pull(world.hosts["g"], REPOSITORY, CONTENTS[name], None)


async def test_the_loop_asks_no_disk(world: World, watch: LoopWatch) -> None:
    """Whatever becomes of a pull."""
    holds = Holds(2 * PIECE_BYTES)
    serve(world, "large", holds)
    for name in ("manifest", "long manifest", "largest"):
        serve(world, name)
    serve(world, "more", OtherBytes())
    with watch.watching():
        pulls = [asyncio.create_task(pull(world, "large", process)) for process in (0, 1, 1)]
        await eventually(world.partial(world.hosts["g"], CONTENTS["large"], REPOSITORY).exists)
        leaving = asyncio.create_task(pull(world, "large"))
        await asyncio.sleep(0.05)
        leaving.cancel()
        holds.gate.set()
        assert await asyncio.gather(*pulls) == [CONTENTS["large"].content] * 3
        await eventually(lambda: world.is_stored(CONTENTS["large"]))
        assert await pull(world, "large") == CONTENTS["large"].content
        for name in ("manifest", "long manifest"):
            both = await asyncio.gather(pull(world, name), pull(world, name, 1))
            assert list(both) == [CONTENTS[name].content] * 2
            assert await pull(world, name, 1) == CONTENTS[name].content
        assert await pull(world, "more") is None
        assert await pull(world, "largest") == CONTENTS["largest"].content  # evicts another
        await eventually(lambda: world.is_stored(CONTENTS["largest"]))
        await asyncio.to_thread(rot, world.layout.blob(CONTENTS["largest"].digest), 0)
        assert await pull(world, "largest") == CONTENTS["largest"].content  # quarantined
        scrubbing = asyncio.create_task(Scrubber(world.processes[0].store).scrub())
        await eventually(world.layout.scrub_lock.exists)
        scrubbing.cancel()
        await asyncio.wait([scrubbing])
    assert watch.seen == []
    assert {"open", "os.rename", "os.remove", "os.mkdir", "index"} <= watch.in_threads
