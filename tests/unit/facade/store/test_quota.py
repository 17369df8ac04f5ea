"""What counts toward the quota, what is freed first, and what a crash may leave."""

import asyncio
import fcntl
import os
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from hashlib import sha512
from pathlib import Path

import pytest
from attrs import frozen
from typing_extensions import override

from facade.rights.right import FlightKey, Right
from facade.rights.rights import Rights
from facade.store.blob_store import Asker, BlobStore, NoRoomError
from facade.store.catalogue import FILE_BYTES, FREE_FILES, Catalogue
from facade.store.claim_count import FEW_PARTIALS, ClaimCount
from facade.store.evictor import Evictor, spare_bytes
from facade.store.file_lock import lock_exclusively
from facade.store.ingest_file import OwnedIngest
from facade.store.partials import ABANDONED_SECONDS, MAX_LEFT, RESUMED_WITHIN_SECONDS, Partials
from facade.store.quarantine import MAX_FILES, Quarantine
from facade.store.reconcile import ORPHANED_SECONDS, Folder, reconcile
from facade.store.uses import Uses
from shared.oci import OCTET_STREAM, Digest, Kind, RepositoryName
from tests.support.eventually import eventually

QUOTA = 10_000
APP = RepositoryName.parse("team/app")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[BlobStore]:
    """A small store."""
    with closing(BlobStore.open(tmp_path / "cache", QUOTA)) as store:
        yield store


def key_of(content: bytes, digest: Digest | None = None) -> FlightKey:
    """Return the flight of a content."""
    return FlightKey("a" * 64, Kind.BLOB, digest or Digest.of(content))


def begin(store: BlobStore, content: bytes, announced: int | None = None) -> OwnedIngest:
    """Have a content arrive, as far as it goes."""
    ingest = OwnedIngest.acquire(store.layout.flight(key_of(content)))
    assert ingest is not None
    ingest.announce(announced or len(content), APP)
    ingest.append([content])
    return ingest


async def keep(store: BlobStore, content: bytes, digest: Digest | None = None) -> Digest:
    """Store a content, without asking for room."""
    key = key_of(content, digest)
    await store.commit(begin(store, content), key.digest, len(content))
    return key.digest


def age(path: Path, seconds: float) -> None:
    """Have a file be touched so long ago."""
    then = time.time() - seconds
    os.utime(path, (then, then))


def content(letter: str, size: int = 4000) -> bytes:
    """Return a content of its own."""
    return letter.encode() * size


async def fits(store: BlobStore, size: int) -> bool:
    """Tell whether so many bytes find room."""
    try:
        await store.make_room(size, lambda _: None)
    except NoRoomError:
        return False
    return True


async def test_what_arrives_counts_as_it_will_be(store: BlobStore) -> None:
    """And what has come of it is not taken away."""
    ingest = begin(store, content("a", 10), announced=9_000)
    assert not await fits(store, 1_001)
    assert await fits(store, 1_000)
    assert ingest.size == 10
    ingest.discard()
    assert await fits(store, QUOTA)


async def test_what_a_dead_owner_left_counts_as_it_is(store: BlobStore) -> None:
    """It is resumed, perhaps; its room goes to others only where there is no other."""
    begin(store, content("a"), announced=9_000).release()
    stored = await keep(store, content("b", 3_000))
    assert await fits(store, 3_000)
    assert store.has(stored)
    assert await fits(store, 6_000)
    assert not store.has(stored)
    assert partials(store) == 1
    assert await fits(store, 6_001)
    assert partials(store) == 0


async def test_what_was_left_long_ago_goes_before_what_is_complete(store: BlobStore) -> None:
    """Nobody came back for it."""
    begin(store, content("a")).release()
    age(store.layout.flight(key_of(content("a"))) / "data", RESUMED_WITHIN_SECONDS + 1)
    stored = await keep(store, content("b"))
    assert await fits(store, 4_000)
    assert store.has(stored)
    assert partials(store) == 0


async def test_nothing_is_evicted_in_vain(store: BlobStore) -> None:
    """What does not fit beside what arrives flushes no blob."""
    stored = await keep(store, content("a", 1_000))
    ingest = begin(store, content("b", 10), announced=8_000)
    assert not await fits(store, 2_001)
    assert store.has(stored)
    assert await fits(store, 2_000)
    ingest.discard()


async def test_what_rotted_counts(store: BlobStore) -> None:
    """It lies on the same disk."""
    store.quarantine(await keep(store, content("a", 4_000)), "rotten")
    assert not await fits(store, 6_001)
    assert await fits(store, 6_000)


async def test_a_blob_that_is_stored_again_while_it_is_quarantined_counts(store: BlobStore) -> None:
    """Whoever finds it rotten forgets it beside whoever keeps it again."""
    rotten = content("a")
    digest = Digest.of(rotten)
    for _ in range(100):
        await keep(store, rotten)
        quarantined = asyncio.to_thread(store.quarantine, digest, "rotten")
        await asyncio.gather(keep(store, rotten), quarantined)
        is_stored = store.has(digest)
        assert store.catalogue.stored_bytes() == is_stored * len(rotten)
        assert store.layout.checksums(digest).exists() or not is_stored


@frozen(eq=False)
class _TakenMeanwhile(Catalogue):
    """Where a blob is noted just after somebody found it rotten."""

    _store: BlobStore

    @override
    def found(self, digest: Digest, size: int) -> None:
        self._store.quarantine(digest, "rotten")
        super().found(digest, size)


async def test_a_blob_that_is_quarantined_before_it_was_noted_does_not_count(
    store: BlobStore,
) -> None:
    """Else the quota had less room, until somebody tidied."""
    store.catalogue = _TakenMeanwhile(store.index, store)
    digest = await keep(store, content("a"))
    assert not store.has(digest)
    assert store.catalogue.stored_bytes() == 0


async def test_a_blob_that_is_stored_again_while_it_is_tidied_away_counts(
    store: BlobStore,
) -> None:
    """A person had deleted it."""
    kept = content("a")
    digest = Digest.of(kept)
    folder = Folder(digest.algorithm, digest.hex[:2])
    for _ in range(100):
        await keep(store, kept)
        store.layout.blob(digest).unlink()
        tidied = asyncio.to_thread(reconcile, store.layout, store.catalogue, folder)
        await asyncio.gather(keep(store, kept), tidied)
        assert store.has(digest)
        assert store.catalogue.stored_bytes() == len(kept)


@frozen(eq=False)
class _FilledMeanwhile(Quarantine):
    """Into which somebody moves a blob just after it was looked at."""

    _store: BlobStore
    _digest: Digest

    @override
    def stored_bytes(self) -> int:
        looked = super().stored_bytes()
        self._store.quarantine(self._digest, "rotten")
        return looked


@pytest.mark.parametrize("few", [0, FEW_PARTIALS], ids=["a count is used", "all are looked at"])
async def test_what_goes_into_quarantine_while_room_is_made_counts(
    store: BlobStore, few: int
) -> None:
    """It is looked for where it goes after it was looked for where it was."""
    digest = await keep(store, content("a", 4_000))
    begin(store, b"1").release()
    layout, catalogue = store.layout, store.catalogue
    quarantine = _FilledMeanwhile(layout.quarantine, QUOTA, store, digest)
    partials = Partials(layout.ingest)
    count = ClaimCount(partials, layout.granted, clock=lambda: 0.0, few=few)
    count.exactly()
    uses = Uses(catalogue)
    evictor = Evictor(layout, catalogue, partials, quarantine, uses, QUOTA, count=count)
    granted: list[int] = []
    evictor.admit(6_000, 6_000, granted.append, Asker())
    assert granted == [5_999]


def test_what_its_owner_writes_last_counts_though_it_lets_go_meanwhile(store: BlobStore) -> None:
    """Else what was written between two looks, at its size and at its lock, counts for nobody."""
    beginning, rest = content("a", 4_000), b"a"
    ingest = begin(store, beginning, announced=4_001)
    is_looked_at = False

    def end(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal is_looked_at
        if is_looked_at and event == "fcntl.fcntl" and arguments[1] == fcntl.F_OFD_GETLK:
            is_looked_at = False
            ingest.append([rest])
            ingest.release()

    sys.addaudithook(end)  # for good, but it acts once
    is_looked_at = True
    [claim] = Partials(store.layout.ingest).claims()
    assert (claim.size, claim.is_owned) == (4_001, False)


async def test_a_full_disk_takes_what_rotted_first(store: BlobStore) -> None:
    """Then what was left, and then what is stored; nothing more is no room."""
    store.quarantine(await keep(store, content("a")), "rotten")
    stored = await keep(store, content("b"))
    await store.relieve_disk(4_000)
    assert not list(store.layout.quarantine.iterdir())
    assert store.has(stored)
    await store.relieve_disk(4_000)
    assert not store.has(stored)
    with pytest.raises(NoRoomError):
        await store.relieve_disk(1)


def test_the_quarantine_keeps_the_newest_few(tmp_path: Path) -> None:
    """A failing disk rots one blob after the other."""
    quarantine = Quarantine(tmp_path / "quarantine", QUOTA)
    quarantine.folder.mkdir()
    for number in range(MAX_FILES + 5):
        rotten = tmp_path / "rotten"
        rotten.write_bytes(b"%02d" % number)
        quarantine.take(rotten, f"{number:02d}")
    kept = sorted(path.name[:2] for path in quarantine.folder.iterdir())
    assert kept == [f"{number:02d}" for number in range(5, MAX_FILES + 5)]


def test_the_quarantine_is_bounded_in_bytes(tmp_path: Path) -> None:
    """The newest up to half of the quota, others a tenth; a larger one is not kept at all."""
    quarantine = Quarantine(tmp_path / "quarantine", QUOTA)
    quarantine.folder.mkdir()
    rotten = tmp_path / "rotten"
    for size in (600, 300, 4_000):
        rotten.write_bytes(bytes(size))
        quarantine.take(rotten, str(size))
    assert quarantine.stored_bytes() == 4_000
    rotten.write_bytes(bytes(5_001))
    quarantine.take(rotten, "5001")
    assert not rotten.exists()
    assert quarantine.stored_bytes() == 0
    quarantine.take(tmp_path / "gone", "gone")


async def test_a_blob_of_a_longer_digest_is_a_blob(store: BlobStore, tmp_path: Path) -> None:
    """sha512 is found again after a restart, read, counted, evicted."""
    whole = content("a")
    digest = Digest.parse(f"sha512:{sha512(whole).hexdigest()}")
    await keep(store, whole, digest)
    store.catalogue.removed(digest)
    with closing(BlobStore.open(tmp_path / "cache", QUOTA)) as again:
        assert again.catalogue.stored_bytes() == len(whole)
        blob = await again.open_blob(digest)
        assert blob is not None
        assert bytes(await blob.read(0, 10)) == whole[:10]
        blob.close()
        assert await fits(again, QUOTA)
        assert not again.has(digest)
        assert not again.layout.checksums(digest).exists()


async def test_a_blob_that_is_noted_and_not_there_is_forgotten(
    store: BlobStore, tmp_path: Path
) -> None:
    """A process was killed between the two."""
    store.catalogue.added(Digest.of(b"never came"), 9_000)
    assert await fits(store, QUOTA)
    assert store.catalogue.stored_bytes() == 0
    store.catalogue.added(Digest.of(b"never came"), 9_000)
    with closing(BlobStore.open(tmp_path / "cache", QUOTA)) as again:
        assert again.catalogue.stored_bytes() == 0


async def test_what_a_crash_leaves_beside_blobs_is_deleted_when_it_is_old(
    store: BlobStore, tmp_path: Path
) -> None:
    """Checksums without a blob; what belongs to a blob, or is being written, stays."""
    stored = await keep(store, content("a"))
    orphan = store.layout.checksums(Digest.of(b"gone"))
    half = store.layout.checksums(stored).with_suffix(".new")
    young = store.layout.checksums(Digest.of(b"arriving"))
    foreign = store.layout.checksums(stored).with_name("notes.txt")
    for path in (orphan, half, young, foreign):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"12345678")
    for path in (orphan, half, foreign, store.layout.checksums(stored)):
        age(path, ORPHANED_SECONDS + 1)
    with closing(BlobStore.open(tmp_path / "cache", QUOTA)) as again:
        assert not orphan.exists()
        assert not half.exists()
        assert young.exists()
        assert foreign.exists()
        blob = await again.open_blob(stored)
        assert blob is not None
        blob.close()


def test_what_was_abandoned_is_deleted(store: BlobStore) -> None:
    """What arrives and what was left lately stays."""
    begin(store, content("a")).release()
    begin(store, content("b")).release()
    arriving = begin(store, content("c"))
    empty = store.layout.ingest / "empty"
    empty.mkdir()
    for letter in "ac":
        age(store.layout.flight(key_of(content(letter))) / "data", ABANDONED_SECONDS + 1)
    age(empty, ABANDONED_SECONDS + 1)
    store.upkeep.tidy()
    assert partials(store) == 2
    assert not empty.exists()
    assert arriving.size == 4000
    arriving.discard()


async def test_very_many_short_blobs_count_as_what_their_files_take(tmp_path: Path) -> None:
    """Else a registry of blobs of one byte fills the disk, and the quota says that all is well."""
    quota = 200 * FILE_BYTES
    with closing(BlobStore.open(tmp_path / "cache", quota)) as store:
        note(store, blobs=FREE_FILES + 100, size=1)
        taken = FREE_FILES + 100 + 100 * FILE_BYTES
        assert store.catalogue.stored_bytes() == taken
        assert await fits(store, quota - taken)
        assert store.catalogue.stored_blobs() == FREE_FILES + 100
        assert await fits(store, quota - taken + 10 * FILE_BYTES)
        assert store.catalogue.stored_blobs() == FREE_FILES + 90


async def test_what_is_left_in_the_middle_is_bounded_in_number(store: BlobStore) -> None:
    """A device that begins and leaves has everybody who makes room look at each. The oldest go."""
    left = [store.layout.ingest / f"left-{number:04d}" for number in range(MAX_LEFT + 2)]
    for number, folder in enumerate(left):
        folder.mkdir()
        (folder / "data").write_bytes(b"left")
        age(folder / "data", 1000 - number)
    arriving = begin(store, b"arrives", announced=100)
    claimed: list[int] = []
    await store.admit(100, 100, claimed.append, Asker("a" * 64))
    assert claimed
    assert partials(store) == MAX_LEFT + 1
    assert [folder for folder in left if not folder.exists()] == left[:2]
    assert arriving.size == len(b"arrives")
    arriving.discard()


async def test_an_eviction_leaves_no_blob_without_its_checksums(store: BlobStore) -> None:
    """Whoever opens it meanwhile has it, or has nothing: nothing looks rotten."""
    digest = await keep(store, content("a"))
    blob = await store.open_blob(digest)
    assert blob is not None
    assert not await fits(store, QUOTA)
    assert bytes(await blob.read(0, 4)) == b"aaaa"
    blob.close()
    assert await fits(store, QUOTA)
    assert await store.open_blob(digest) is None
    assert not list(store.layout.quarantine.iterdir())


async def test_a_blob_on_its_way_to_its_place_counts_once(store: BlobStore) -> None:
    """Else others go for it, and what was left of them: while somebody makes room it waits."""
    whole = content("a")
    ingest = begin(store, whole)
    evictor = os.open(store.layout.evictor_lock, os.O_RDWR | os.O_CREAT)
    assert lock_exclusively(evictor)
    committing = asyncio.create_task(store.commit(ingest, key_of(whole).digest, len(whole)))
    await asyncio.sleep(0.2)  # it has come as far as it may
    assert partials(store) == 1
    assert store.catalogue.stored_bytes() == 0
    os.close(evictor)
    await committing
    assert partials(store) == 0
    assert store.catalogue.stored_bytes() == len(whole)


async def test_room_is_claimed_before_another_asks(store: BlobStore) -> None:
    """Two downloads that begin at once do not both find the last bytes."""
    claimed: list[OwnedIngest] = []

    async def begin_one(letter: str) -> None:
        ingest = OwnedIngest.acquire(store.layout.flight(key_of(content(letter))))
        assert ingest is not None
        claimed.append(ingest)
        ingest.announce(6_000, APP, room=0)
        await store.make_room(6_000, ingest.claim)

    outcomes = await asyncio.gather(*(begin_one(letter) for letter in "ab"), return_exceptions=True)
    assert sorted(map(type, outcomes), key=str) == [type(None), NoRoomError]
    for ingest in claimed:
        ingest.discard()


async def test_what_is_free_is_a_part_of_a_share(store: BlobStore) -> None:
    """Whoever takes what is free may displace so much less of what others use."""
    for number in range(8):
        use(store, "b" * 64, Digest.of(b"%d" % number), 1_000)
    asker, granted = Asker("a" * 64), list[int]()
    with pytest.raises(NoRoomError):
        await store.make_room(QUOTA // 2 + 1, granted.append, asker)
    assert (granted, store.catalogue.stored_bytes()) == ([], 8_000)
    await store.make_room(QUOTA // 2 - 1_000, granted.append, asker, ahead=1_001)
    assert (sum(granted), store.catalogue.stored_bytes()) == (QUOTA // 2 - 1_000, 6_000)


async def test_a_quota_that_was_lowered_is_reached_and_nobody_waits_for_it(tmp_path: Path) -> None:
    """Whoever brings something has what goes for it; the rest goes behind its back."""
    with closing(BlobStore.open(tmp_path / "cache", 10 * QUOTA)) as large:
        for letter in "abcdefgh":
            await keep(large, content(letter))
    with closing(BlobStore.open(tmp_path / "cache", QUOTA)) as store:
        assert store.catalogue.stored_bytes() == 32_000
        granted: list[int] = []
        await store.make_room(6_000, granted.append)
        assert (sum(granted), store.catalogue.stored_bytes()) == (6_000, 24_000)
        ahead = asyncio.create_task(store.keep_spare())
        await eventually(lambda: store.catalogue.stored_bytes() <= QUOTA)
        ahead.cancel()
        await asyncio.wait([ahead])
        assert store.catalogue.stored_bytes() == 8_000


async def test_what_comes_next_is_freed_once_somebody_was_short(tmp_path: Path) -> None:
    """A store that is full and that nobody asks for more stays as it is."""
    quota = 512 * 1024 * 1024
    with closing(BlobStore.open(tmp_path / "cache", quota)) as store:
        note(store, blobs=512, size=1024 * 1024)
        ahead = asyncio.create_task(store.keep_spare())
        for _ in range(3):  # it has its turn between
            await store.admit(0, 0, lambda _: None, Asker())
        assert store.catalogue.stored_blobs() == 512
        await store.make_room(1, lambda _: None)
        await eventually(lambda: store.catalogue.stored_bytes() <= quota - spare_bytes(quota))
        ahead.cancel()
        await asyncio.wait([ahead])
        assert store.catalogue.stored_blobs() == 504


async def test_what_is_freed_ahead_is_a_part_of_a_share(tmp_path: Path) -> None:
    """With what is free already: it is for the one that was short."""
    size, ours, others = 1 << 20, "a" * 64, "b" * 64
    with closing(BlobStore.open(tmp_path / "cache", 256 * size)) as store:
        for number in range(255):
            use(store, others if number < 130 else ours, Digest.of(b"%d" % number), size)
        ahead = asyncio.create_task(store.keep_spare())
        await store.make_room(2 * size, lambda _: None, Asker(ours))  # one of the others' goes
        spare = spare_bytes(256 * size)
        await eventually(lambda: store.catalogue.stored_bytes() <= 256 * size - spare)
        ahead.cancel()
        await asyncio.wait([ahead])
        assert store.catalogue.held_bytes(others) == 129 * size


@pytest.mark.parametrize(
    "quota,spare",
    [(0, 0), (255 << 20, 0), (256 << 20, 4 << 20), (1 << 34, 256 << 20), (1 << 44, 256 << 20)],
)
def test_a_small_store_has_nothing_to_spare(quota: int, spare: int) -> None:
    """A 64th, within bounds."""
    assert spare_bytes(quota) == spare


def note(store: BlobStore, blobs: int, size: int) -> None:
    """Have the index know blobs of a size."""
    rows = [(str(Digest.of(b"%d" % number)), size, 0.0, 1, 0.0) for number in range(blobs)]
    with closing(sqlite3.connect(store.layout.index)) as database, database:
        database.executemany("INSERT INTO blobs VALUES (?, ?, ?, ?, ?)", rows)


def use(store: BlobStore, access_key: str, digest: Digest, size: int) -> None:
    """Have the index know a blob that a connection has used twice."""
    for _ in range(2):
        store.catalogue.added(digest, size)
    key = FlightKey(access_key, Kind.BLOB, digest)
    Rights.open(store.index).prove(Right(key, APP), OCTET_STREAM)


def partials(store: BlobStore) -> int:
    """Return how many partial files there are."""
    return len(list(store.layout.ingest.glob("*/data")))
