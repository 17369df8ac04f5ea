"""The store against a simple model, over everything that may happen to it, in any order.

What must hold, whatever happens: a pull that ends cleanly gave the right bytes; it had the right
to them; what is stored and arriving keeps the quota; what had come is not asked for again, and
what came wrong is not gone on with; what may be read and is stored needs no registry; and what an
honest registry serves is got.
"""

import asyncio
import os
import tempfile
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import uvloop
from attrs import frozen
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from typing_extensions import override

from facade.store.announcement import Announcement
from facade.values.coverage import Coverage
from facade.values.piece import PIECE_BYTES
from shared.oci import Kind
from tests.faults.extent import extent
from tests.faults.registry_answers import ANSWERS, CONTENTS, LONG_BLOBS, Entry, entry_of
from tests.faults.stored_files import QuotaWatch, come
from tests.faults.stored_world import EAGER, Content, Host, Unverified, World
from tests.support.rot import rot
from tests.support.simulators.behaviour import Holds

EXAMPLES: Final = extent(12, 120)
STEPS: Final = extent(15, 30)
HOSTS: Final = "gh"
REPOSITORIES: Final = ("team/app", "team/second")
PLACES: Final = [(host, repo, name) for host in HOSTS for repo in REPOSITORIES for name in CONTENTS]
QUOTA: Final = 5 * PIECE_BYTES  # of 13 that there are
HOLD_SECONDS: Final = 0.06  # longer than a download gathers before it writes

Result = TypeVar("Result")


@frozen
class Asker:
    """A device that asks one of the processes for a content, or for a span of it."""

    process: int
    host: str
    repository: str
    drawn_span: tuple[int, int] | None

    def span(self, content: Content) -> tuple[int, int] | None:
        """Return first byte and end of what it asks for; None for the whole."""
        length = len(content.content)
        if self.drawn_span is None or not length or content.kind is Kind.MANIFEST:
            return None
        first, last = sorted(each % length for each in self.drawn_span)
        return first, last + 1

    def wanted(self, content: Content) -> bytes:
        """Return the right answer."""
        first, end = self.span(content) or (0, len(content.content))
        return content.content[first:end]


# One of each is met more often than the others, so that things happen to it again and again.
hosts = st.sampled_from(HOSTS * 2 + HOSTS[0])
repositories = st.sampled_from((*REPOSITORIES, REPOSITORIES[0]))
contents = st.sampled_from((*CONTENTS, *["large"] * len(CONTENTS)))
long_blobs = st.sampled_from((*LONG_BLOBS, "large"))
offsets = st.integers(0, 2**20)
answers = st.sampled_from(ANSWERS)
askers = st.builds(
    Asker,
    process=st.integers(0, 1),
    host=hosts,
    repository=repositories,
    drawn_span=st.none() | st.tuples(offsets, offsets),
)


@frozen
class Left:
    """What has come of a blob that arrives no more."""

    come: Coverage | None  # None: nobody knew how long it would be
    size: int

    def judge(self, ranges: list[str | None], length: int, *, is_whole: bool) -> None:
        """Hold what the registry was asked first against that: nothing of it is bought again."""
        if self.come is None:
            assert ranges[:1] == [f"bytes={self.size}-"]
            return
        gaps = list(self.come.gaps(0, length))
        if not gaps:
            assert not ranges
        elif is_whole:
            (first, end), *_ = gaps
            assert ranges[0] == (f"bytes={first}-{end - 1}" if self.come.count else None)
        else:
            first = int((ranges[0] or "bytes=0-").removeprefix("bytes=").partition("-")[0])
            assert any(gap <= first < end for gap, end in gaps)


Body = bytes | None  # None: it did not end cleanly
Then = Callable[[Sequence[asyncio.Task[Body]]], Awaitable[None]]


class StoreMachine(RuleBasedStateMachine):
    """What may happen, and the model: who brought what, and what is no longer what was stored."""

    def __init__(self) -> None:
        super().__init__()
        self._runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
        self._scratch = tempfile.TemporaryDirectory()
        self._entries: dict[tuple[str, str, str], Entry] = {}
        self._delivered: set[tuple[str, str]] = set()  # access key, content
        self._claimed: set[tuple[str, str, str]] = set()  # access key, repository, content
        self._rotten: dict[str, int] = {}  # content, and the file that was rotten
        self._came_wrong: set[tuple[str, str]] = set()  # access key, content: not asked for a while
        self._spoiled: set[tuple[str, str]] = set()  # the same, of a partial that rotted
        self.world = self._run(World.start(Path(self._scratch.name), QUOTA, HOSTS, growth=EAGER))

    @override
    def teardown(self) -> None:
        """Stop everything."""
        self._run(self.world.stop())
        self._runner.close()
        self._scratch.cleanup()

    @initialize(said=st.lists(answers, min_size=len(PLACES), max_size=len(PLACES)), byte=offsets)
    def begin(self, said: list[str], byte: int) -> None:
        """Every registry has something to say about everything."""
        for place, answer in zip(PLACES, said, strict=True):
            self._say(*place, entry_of(answer, CONTENTS[place[2]], byte))

    @rule(host=hosts, repository=repositories, name=contents, answer=answers, byte=offsets)
    def say(self, host: str, repository: str, name: str, answer: str, byte: int) -> None:
        """A registry changes its mind."""
        self._say(host, repository, name, entry_of(answer, CONTENTS[name], byte))

    @rule(name=contents, asker=askers)
    def pull(self, name: str, asker: Asker) -> None:
        """A device asks alone."""
        self._pull(name, asker)

    @rule(name=contents, herd=st.lists(askers, min_size=2, max_size=6))
    def herd(self, name: str, herd: list[Asker]) -> None:
        """Devices ask for one content at once, through whatever connections and processes."""
        must_end = self._must_end(name, herd)
        bodies = self._run(self._together([(name, asker) for asker in herd]))
        for asker, body in zip(herd, bodies, strict=True):
            self._judge(name, asker, body, must_end=must_end)

    @rule(asker=askers, names=st.lists(contents, min_size=2, max_size=4, unique=True))
    def several(self, names: list[str], asker: Asker) -> None:
        """A device asks for several contents at once, as containerd does."""
        must_end = [self._must_end(name, [asker], may_be_evicted=True) for name in names]
        bodies = self._run(self._together([(name, asker) for name in names]))
        for name, body, must in zip(names, bodies, must_end, strict=True):
            self._judge(name, asker, body, must_end=must)

    @rule(name=long_blobs, asker=askers, byte=offsets, count=st.integers(1, 3))
    def leave(self, name: str, asker: Asker, byte: int, count: int) -> None:
        """Devices leave in the middle; what had come stays, or goes on without them."""

        async def all_leave(pulls: Sequence[asyncio.Task[Body]]) -> None:
            for pull in pulls:
                pull.cancel()
            await asyncio.wait(pulls)

        self._run(self._held(name, byte, [asker] * count, all_leave))

    @rule(name=long_blobs, herd=st.lists(askers, min_size=1, max_size=3), byte=offsets)
    def crash_in_the_middle(self, name: str, herd: list[Asker], byte: int) -> None:
        """The machine dies while something arrives."""
        self._run(self._held(name, byte, herd, self.world.crash))
        self._came_wrong.clear()

    @rule()
    def crash(self) -> None:
        """The machine dies while nothing arrives."""
        self._run(self.world.crash())
        self._came_wrong.clear()

    @rule()
    def restart(self) -> None:
        """The facades are restarted; what came wrong is forgotten with them."""
        self._run(self.world.restart())
        self._came_wrong.clear()

    @rule(host=hosts)
    def rotate(self, host: str) -> None:
        """A connection gets a new secret: its rights begin anew."""
        self._run(self.world.rotate(self._host(host)))

    @rule(
        name=contents,
        at=offsets,
        how=st.sampled_from(["bit", "bit", "cut", "gone", "sums gone"]),
        asker=st.none() | askers,
    )
    def rot(self, name: str, at: int, how: str, asker: Asker | None) -> None:
        """A disk forgets what is stored, perhaps just before it is asked for."""
        digest = CONTENTS[name].digest
        if name not in self._stored():
            return
        path = self.world.layout.blob(digest)
        self._rotten[name] = path.stat().st_ino
        match how:
            case "gone":
                path.unlink()
            case "sums gone":
                self.world.layout.checksums(digest).unlink(missing_ok=True)
            case "cut" if path.stat().st_size:
                os.truncate(path, at % path.stat().st_size)
            case _:
                rot(path, at)
        if asker is not None:
            self._pull(name, asker)

    @rule(host=hosts, repository=repositories, name=long_blobs, at=offsets)
    def rot_of_a_partial(self, host: str, repository: str, name: str, at: int) -> None:
        """A disk forgets what a download left."""
        path = self.world.partial(self._host(host), CONTENTS[name], repository)
        if path.exists():
            rot(path, at)
            self._spoiled.add((self._access_key(host), name))

    @rule(
        name=long_blobs,
        herd=st.lists(askers, min_size=1, max_size=3),
        late=st.lists(askers, min_size=1, max_size=3),
        byte=offsets,
        at=offsets,
    )
    def rot_in_the_middle(
        self, name: str, herd: list[Asker], late: list[Asker], byte: int, at: int
    ) -> None:
        """A disk forgets what has come, some of which was read; others come and read it.

        Whoever notices is cut; it is kept all the same, and found rotten when it is read as stored.
        """
        rotten: dict[str, int] = {}

        async def forget(_: Sequence[asyncio.Task[Body]]) -> None:
            first = herd[0]
            path = self.world.partial(self._host(first.host), CONTENTS[name], first.repository)
            if path.exists():
                rot(path, at)
                rotten[name] = path.stat().st_ino

        self._run(self._held(name, byte, herd, forget, late))
        self._rotten |= rotten

    @invariant()
    def the_quota_is_kept(self) -> None:
        """Between all of this, too."""
        assert self.world.used_bytes <= QUOTA, "the quota is passed"

    @invariant()
    def no_right_is_unproven(self) -> None:
        """Each has its own claim, and bytes of its own connection behind it."""
        for host, repository, name in PLACES:
            if self._has_right(host, repository, name):
                assert (self._access_key(host), repository, name) in self._claimed
                assert (self._access_key(host), name) in self._delivered

    def _pull(self, name: str, asker: Asker) -> None:
        must_end, alone = self._must_end(name, [asker]), self._needs_nobody(name, asker)
        left = self._partial(name, asker)
        [body] = self._run(self._together([(name, asker)]))
        self._judge(name, asker, body, must_end=must_end)
        requests = self._host(asker.host).simulator.requests
        if alone:
            assert not requests, "a registry was asked for what is stored"
        elif left is not None and must_end:
            gets = [request.header("Range") for request in requests if request.method == "GET"]
            left.judge(gets, len(CONTENTS[name].content), is_whole=asker.drawn_span is None)

    def _run(self, step: Coroutine[Any, Any, Result]) -> Result:
        return self._runner.run(step)

    def _say(self, host: str, repository: str, name: str, entry: Entry) -> None:
        self._entries[host, repository, name] = entry
        self._host(host).serve(CONTENTS[name], repository, entry.get, entry.head)

    async def _together(self, pulls: Sequence[tuple[str, Asker]]) -> list[Body]:
        for host in self.world.hosts.values():
            host.simulator.requests.clear()
        async with QuotaWatch(self.world.folder) as watch:
            bodies = await asyncio.gather(*(self._one(name, asker) for name, asker in pulls))
            await self.world.settled()
        assert watch.most_bytes <= QUOTA, "the quota was passed meanwhile"
        return bodies

    async def _one(self, name: str, asker: Asker) -> Body:
        process, content = self.world.processes[asker.process], CONTENTS[name]
        host, span = self._host(asker.host), asker.span(content)
        return await process.pull(host, asker.repository, content, span)

    async def _held(
        self,
        name: str,
        byte: int,
        herd: Sequence[Asker],
        then: Then,
        late: Sequence[Asker] = (),
    ) -> None:
        """Begin pulls of a blob that stops arriving at a byte; more begin behind what happens then.

        It goes on arriving soon after that, where it still does.
        """
        content = CONTENTS[name].content
        holds = Holds(byte % len(content), names_length=byte < len(content))
        self._say(herd[0].host, herd[0].repository, name, Entry(holds))
        self._must_end(name, [*herd, *late])
        pulls = [asyncio.create_task(self._one(name, asker)) for asker in herd]
        await asyncio.sleep(HOLD_SECONDS)
        try:
            await then(pulls)
            if late:
                pulls += [asyncio.create_task(self._one(name, asker)) for asker in late]
                await asyncio.sleep(HOLD_SECONDS)
        finally:
            holds.gate.set()
        await asyncio.wait(pulls)
        await self.world.settled()
        for asker, pull in zip([*herd, *late], pulls, strict=True):
            if not pull.cancelled() and not pull.exception():
                self._judge(name, asker, pull.result(), must_end=False)

    def _must_end(self, name: str, herd: Sequence[Asker], *, may_be_evicted: bool = False) -> bool:
        """Note what these pulls may bring; tell whether all of them must end cleanly.

        Those of one connection follow one download, of whichever repository was answered first.
        """
        for asker in herd:
            entry, access_key = self._entry(name, asker), self._access_key(asker.host)
            if entry.claims:
                self._claimed.add((access_key, asker.repository, name))
            if entry.delivers:
                self._delivered.add((access_key, name))
        may_be_evicted = may_be_evicted or len({asker.host for asker in herd}) > 1
        return name not in self._rotten and all(
            self._is_had(name, asker) or (not may_be_evicted and self._needs_nobody(name, asker))
            for asker in herd
        )

    def _is_had(self, name: str, asker: Asker) -> bool:
        """Tell whether the registry gives it, and is asked for it."""
        flight = self._access_key(asker.host), name
        is_asked = flight not in self._came_wrong and flight not in self._spoiled
        return is_asked and self._entry(name, asker).is_honest

    def _needs_nobody(self, name: str, asker: Asker) -> bool:
        """Tell whether the right was proven before, and the bytes are there."""
        is_there = name not in self._rotten and name in self._stored()
        return is_there and self._has_right(asker.host, asker.repository, name)

    def _has_right(self, host: str, repository: str, name: str) -> bool:
        return self.world.has_right(self._host(host), repository, CONTENTS[name])

    def _judge(self, name: str, asker: Asker, body: Body, *, must_end: bool) -> None:
        """Hold what a device got against the model."""
        access_key = self._access_key(asker.host)
        if body is None:
            assert not must_end, "a pull that nothing was in the way of did not end"
            if not self._is_rotten_there(name):
                self._rotten.pop(name, None)
            self._spoiled.discard((access_key, name))
            self._came_wrong.add((access_key, name))
            return
        if isinstance(body, Unverified):
            assert (access_key, asker.repository, name) in self._claimed, "read without a right"
            if not must_end:
                return
        assert body == asker.wanted(CONTENTS[name]), "a clean end with wrong bytes"
        assert (access_key, asker.repository, name) in self._claimed, "read without a right"
        assert (access_key, name) in self._delivered, "read what another connection brought"

    def _is_rotten_there(self, name: str) -> bool:
        """Tell whether the rotten file is still stored: a pull that failed may not have read it."""
        path = self.world.layout.blob(CONTENTS[name].digest)
        return path.exists() and path.stat().st_ino == self._rotten.get(name)

    def _stored(self) -> list[str]:
        return [name for name in CONTENTS if self.world.is_stored(CONTENTS[name])]

    def _partial(self, name: str, asker: Asker) -> Left | None:
        """Return what has come of what this pull has to bring itself; None if it need not."""
        path = self.world.partial(self._host(asker.host), CONTENTS[name], asker.repository)
        announced = Announcement.read(path.parent)
        size = path.stat().st_size if path.exists() else 0
        if name in self._stored() or not size or announced is None:
            return None
        return Left(None if announced.length is None else come(path, announced.length), size)

    def _entry(self, name: str, asker: Asker) -> Entry:
        return self._entries[asker.host, asker.repository, name]

    def _host(self, name: str) -> Host:
        return self.world.hosts[name]

    def _access_key(self, host: str) -> str:
        return self._host(host).connection.access_key


TestStore = StoreMachine.TestCase
TestStore.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=STEPS,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # what depends on time does not shrink
    print_blob=True,
)
