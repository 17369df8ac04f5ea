"""The quota is kept, what is open is kept, and rot never leaves the store."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from facade.rights.right import FlightKey, Right
from facade.rights.rights import Rights
from facade.store.blob_store import BlobStore, CacheFolderError, NoRoomError
from facade.store.ingest_file import OwnedIngest
from facade.store.stored_blob import RottenBlobError
from shared.oci import Digest, Kind, RepositoryName
from tests.support.page_cache import tells_what_is_cached
from tests.support.rot import rot

QUOTA = 10_000
REPOSITORY = RepositoryName.parse("team/app")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[BlobStore]:
    """A small store."""
    opened = BlobStore.open(tmp_path / "cache", QUOTA)
    yield opened
    opened.close()


def key_of(content: bytes, access_key: str = "a" * 64) -> FlightKey:
    """Return the flight of a content on a connection."""
    return FlightKey(access_key, Kind.BLOB, Digest.of(content))


async def put(store: BlobStore, content: bytes, access_key: str = "a" * 64) -> FlightKey:
    """Store a content as a flight does."""
    key = key_of(content, access_key)
    await store.make_room(len(content), lambda _: None)
    ingest = OwnedIngest.acquire(store.layout.flight(key))
    assert ingest is not None
    ingest.announce(len(content), RepositoryName("team/app"))
    ingest.append([content])
    await store.commit(ingest, key.digest, len(content))
    Rights(store.index).prove(Right(key, REPOSITORY), "application/octet-stream")
    return key


def content(letter: str, size: int = 4000) -> bytes:
    """Return a content of its own."""
    return letter.encode() * size


async def test_a_stored_blob_is_read_back(store: BlobStore) -> None:
    """From any offset."""
    key = await put(store, b"0123456789")
    blob = await store.open_blob(key.digest)
    assert blob is not None
    assert bytes(await blob.read(3, 4)) == b"3456"
    assert bytes(await blob.read(9, 100)) == b"9"
    blob.close()


async def test_a_right_belongs_to_one_connection_and_repository(store: BlobStore) -> None:
    """The bytes are stored once; who may read them is another matter."""
    right = Right(await put(store, b"shared bytes"), REPOSITORY)
    rights = Rights(store.index)
    assert rights.proven(right) is not None
    assert rights.proven(Right(right.key, RepositoryName.parse("team/other"))) is None
    assert rights.proven(Right(key_of(b"shared bytes", "b" * 64), REPOSITORY)) is None
    rights.end(right)
    assert rights.proven(right) is None
    assert store.has(right.key.digest)


async def test_the_least_recently_used_goes_first(store: BlobStore) -> None:
    """So that the quota holds."""
    old, middle = await put(store, content("a")), await put(store, content("b"))
    new = await put(store, content("c"))
    assert [store.has(each.digest) for each in (old, middle, new)] == [False, True, True]
    assert store.catalogue.stored_bytes() <= QUOTA


async def test_what_was_used_again_outlives_what_was_asked_once(store: BlobStore) -> None:
    """One device's random pulls do not flush what a fleet uses."""
    used = await put(store, content("a"))
    blob = await store.open_blob(used.digest)
    assert blob is not None
    blob.close()
    store.upkeep.write_uses()
    for letter in "bcdef":
        await put(store, content(letter))
    assert store.has(used.digest)


async def test_what_is_open_is_not_taken(store: BlobStore) -> None:
    """A pull in progress finishes."""
    first, second = await put(store, content("a")), await put(store, content("b"))
    blobs = [await store.open_blob(each.digest) for each in (first, second)]
    with pytest.raises(NoRoomError):
        await store.make_room(4000, lambda _: None)
    for blob in blobs:
        assert blob is not None
        blob.close()
    await store.make_room(4000, lambda _: None)


async def test_what_arrives_counts(store: BlobStore) -> None:
    """Ten downloads begun at once must not take ten times the quota."""
    arriving = OwnedIngest.acquire(store.layout.flight(key_of(b"arriving")))
    assert arriving is not None
    arriving.announce(QUOTA - 100, RepositoryName("team/app"))
    with pytest.raises(NoRoomError):
        await store.make_room(101, lambda _: None)
    await store.make_room(100, lambda _: None)
    arriving.discard()


async def test_a_blob_beyond_the_quota_is_not_kept(store: BlobStore) -> None:
    """And nothing is evicted for it."""
    key = await put(store, content("a"))
    with pytest.raises(NoRoomError):
        await store.make_room(QUOTA + 1, lambda _: None)
    assert store.has(key.digest)


async def test_rot_is_found_before_it_is_given(store: BlobStore) -> None:
    """The piece is read whole and held against its checksum."""
    key = await put(store, content("a"))
    rot(store.layout.blob(key.digest), 100)
    blob = await store.open_blob(key.digest)
    assert blob is not None
    with pytest.raises(RottenBlobError):
        await blob.read(0, 10)
    blob.close()


@pytest.mark.parametrize("damage", ["cut", "no checksums", "foreign checksums"])
async def test_a_damaged_file_is_quarantined_when_it_is_opened(
    store: BlobStore, damage: str
) -> None:
    """It is then not stored: the next pull fetches it again."""
    key = await put(store, content("a"))
    match damage:
        case "cut":
            store.layout.blob(key.digest).write_bytes(b"")
        case "no checksums":
            store.layout.checksums(key.digest).unlink()
        case "foreign checksums":
            store.layout.checksums(key.digest).write_bytes(b"1234")
    assert await store.open_blob(key.digest) is None
    assert not store.has(key.digest)
    assert len(list(store.layout.quarantine.iterdir())) == 1
    assert store.catalogue.stored_bytes() == 0


async def test_a_restart_finds_what_the_index_missed(store: BlobStore, tmp_path: Path) -> None:
    """A crash between the file and its line in the index loses neither bytes nor quota."""
    kept, gone = await put(store, content("a")), await put(store, content("b"))
    store.catalogue.removed(kept.digest)
    store.layout.blob(gone.digest).unlink()
    again = await asyncio.to_thread(BlobStore.open, tmp_path / "cache", QUOTA)
    assert again.catalogue.stored_bytes() == 4000
    assert again.has(kept.digest)
    again.close()


async def test_two_processes_evict_one_after_the_other(store: BlobStore, tmp_path: Path) -> None:
    """There is one evictor at a time, and the quota is the machine's."""
    other = await asyncio.to_thread(BlobStore.open, tmp_path / "cache", QUOTA)
    for letter in "abcdefgh":
        await put(store if letter in "aceg" else other, content(letter))
        assert store.catalogue.stored_bytes() <= QUOTA
    await asyncio.gather(*(each.make_room(4000, lambda _: None) for each in [store, other] * 5))
    assert store.catalogue.stored_bytes() <= QUOTA - 4000
    other.close()


def test_a_folder_that_cannot_be_used_is_said_so(tmp_path: Path) -> None:
    """At the start, not at the first pull."""
    (tmp_path / "file").touch()
    with pytest.raises(CacheFolderError):
        BlobStore.open(tmp_path / "file", QUOTA)


@pytest.mark.parametrize("way", ["at once", "waiting"])
async def test_readers_of_one_blob_share_what_they_read(
    store: BlobStore, tmp_path: Path, way: str
) -> None:
    """A fleet costs one read of each piece, and the last one leaves nothing behind."""
    waits = way == "waiting" or not tells_what_is_cached(tmp_path)
    key = await put(store, content("a"))
    one, other = await store.open_blob(key.digest), await store.open_blob(key.digest)
    assert one is not None
    assert other is not None
    read = await one.read(5, 1000) if waits else one.read_nowait(5, 1000)
    again = other.read_nowait(5, 500)
    assert read is not None
    assert again is not None
    assert again == read[:500] == content("a")[5:505]
    assert again.obj is read.obj
    one.close()
    other.close()
    alone = await store.open_blob(key.digest)
    assert alone is not None
    anew = await alone.read(5, 500) if waits else alone.read_nowait(5, 500)
    assert anew is not None
    assert anew.obj is not read.obj
    alone.close()


@pytest.mark.parametrize("way", ["at once", "waiting"])
async def test_small_parts_beside_each_other_are_read_and_checked_once(
    store: BlobStore, tmp_path: Path, way: str
) -> None:
    """A thousand ranges of 4 KiB in one request read each piece eight times."""
    waits = way == "waiting" or not tells_what_is_cached(tmp_path)
    key = await put(store, content("a"))
    blob = await store.open_blob(key.digest)
    assert blob is not None
    parts = [
        await blob.read(first, 100) if waits else blob.read_nowait(first, 100)
        for first in (0, 1000, 3900)
    ]
    given = [part for part in parts if part is not None]
    assert b"".join(given) == content("a", 300)
    assert len({id(part.obj) for part in given}) == 1
    blob.close()


async def test_a_rotten_piece_is_never_shared(store: BlobStore, tmp_path: Path) -> None:
    """Whoever reads it finds it rotten, with or without waiting."""
    key = await put(store, content("a"))
    readers = [await store.open_blob(key.digest) for _ in range(2)]
    path = store.layout.blob(key.digest)
    path.write_bytes(b"b" + path.read_bytes()[1:])
    for reader in readers:
        assert reader is not None
        if tells_what_is_cached(tmp_path):
            with pytest.raises(RottenBlobError):
                reader.read_nowait(0, 100)
        else:
            assert reader.read_nowait(0, 100) is None
        with pytest.raises(RottenBlobError):
            await reader.read(0, 100)
        reader.close()


def test_a_file_that_somebody_left_there_keeps_no_store_from_opening(tmp_path: Path) -> None:
    """Nothing is looked for below it. A link in a folder's place is refused."""
    for place in ("ingest", "blobs", "blobs/sha256"):
        (tmp_path / "cache" / place).mkdir(parents=True, exist_ok=True)
        (tmp_path / "cache" / place / ".stray").touch()
    BlobStore.open(tmp_path / "cache", QUOTA).close()
    (tmp_path / "cache" / "blobs" / "sha256" / "ab").symlink_to(tmp_path)
    with pytest.raises(CacheFolderError, match="ab is no folder"):
        BlobStore.open(tmp_path / "cache", QUOTA)
