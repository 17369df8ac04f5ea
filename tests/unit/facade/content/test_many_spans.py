"""A thousand single bytes of a huge stored blob: counted reads and memory, whatever its length."""

import os
import tracemalloc
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import xxhash
from aiohttp import web

from facade.content.source import Blob
from facade.content.warm_blob import WarmBlob
from facade.loop.loop_turns import LoopTurns
from facade.pulls.blob_body import blob_body
from facade.store.blob_store import BlobStore
from facade.store.piece_checksums import CHECKED_BYTES, length_header
from facade.values.byte_range import MAX_RANGES, ByteRanges
from shared.oci import Digest
from tests.support.multipart import range_parts

LENGTH = 10 * 1024**3
STRIDE = LENGTH // MAX_RANGES
DIGEST = Digest.parse(f"sha256:{'a' * 64}")
MOST_MEMORY = 2 * 1024 * 1024
MOST_BYTES_READ = 2 * MAX_RANGES * CHECKED_BYTES  # 64 MiB: no more than two pieces for each


@pytest.fixture
def store(tmp_path: Path) -> Iterator[BlobStore]:
    """A store."""
    with closing(BlobStore.open(tmp_path / "cache", 2 * LENGTH)) as store:
        yield store


def keep_huge(store: BlobStore) -> None:
    """Keep a blob of 10 GiB of zeros, which take no room on the disk."""
    path = store.layout.blob(DIGEST)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.truncate(LENGTH)
    zeros = xxhash.xxh3_64_digest(bytes(CHECKED_BYTES))
    pieces = LENGTH // CHECKED_BYTES
    store.layout.checksums(DIGEST).write_bytes(length_header(LENGTH) + pieces * zeros)


async def test_a_thousand_bytes_of_ten_gibibytes_cost_a_thousand_pieces(
    store: BlobStore,
) -> None:
    """The parts are right, and what is read and held has nothing to do with the length."""
    keep_huge(store)
    blob = await store.open_blob(DIGEST)
    assert blob is not None

    async def bring_anew() -> Blob:
        raise AssertionError("it is not rotten")

    warm = WarmBlob(store, blob, bring_anew)
    asked = [at * STRIDE + 5 for at in range(MAX_RANGES)]
    header = "bytes=" + ",".join(f"{at}-{at}" for at in asked)
    read_before = _bytes_read()
    tracemalloc.start()
    response = web.StreamResponse()
    body = await blob_body(response, ByteRanges.parse(header), warm, LoopTurns(1))
    received = b"".join([bytes(piece) async for piece in body.pieces])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert _bytes_read() - read_before < MOST_BYTES_READ
    assert peak < MOST_MEMORY
    parts = range_parts(response.headers["Content-Type"], received)
    assert [each.content_range for each in parts] == [f"bytes {at}-{at}/{LENGTH}" for at in asked]
    assert {each.content for each in parts} == {b"\0"}
    blob.close()


def _bytes_read() -> int:
    """Return what this process has read, by system calls (proc(5))."""
    fields = Path(f"/proc/{os.getpid()}/io").read_text().splitlines()
    return int(next(line for line in fields if line.startswith("rchar:")).split()[1])
