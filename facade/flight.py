"""One download of a blob into the store, on behalf of whoever asks for it meanwhile.

A flight belongs to an access key, a kind and a digest, and to no device: the one that started it
may leave. When the last one has left it goes on for a grace period if it was worth something.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final

from attrs import define, field

from facade.arrival import Progress
from facade.download import Download, continue_download, open_download
from facade.held_back import HeldBackVerifier, WrongBytesError
from facade.store.blob_store import BlobStore, NoRoomError
from facade.store.ingest_file import OwnedIngest
from facade.store.layout import FlightKey
from facade.store.piece_checksums import PieceHasher
from facade.upstream import Upstream
from facade.upstreams import ConnectionRevokedError, Upstreams
from shared.approved_connection import ApprovedConnection
from shared.oci import OCTET_STREAM, RepositoryName
from shared.sealed_secret import SealedSecretError
from shared.structured_log import get_logger
from shared.upstream.errors import UnexpectedAnswerError, UpstreamError

GRACE_SECONDS: Final = 60.0  # a fleet rolls out within minutes: the next device comes soon
GRACE_DEVICES: Final = 2
GRACE_BYTES: Final = 64 * 1024 * 1024
GATHERED_BYTES: Final = 1024 * 1024  # written at once
GATHERED_SECONDS: Final = 0.05  # a slow registry's bytes are passed on in pieces as they come
REHASH_BYTES: Final = 4 * 1024 * 1024  # of a left partial at a time

_log = get_logger("facade.flight")


class FlightLandedError(Exception):
    """The flight was stopped: nobody reads it, or the facade stops."""


@define(eq=False)
class Flight:
    """A download under way."""

    key: FlightKey
    repository: RepositoryName
    _connection: ApprovedConnection
    _ingest: OwnedIngest
    _store: BlobStore
    _upstreams: Upstreams
    _ended: Callable[["Flight"], None]
    _pieces: PieceHasher = field(factory=PieceHasher, init=False)
    _progress: asyncio.Future[Progress] = field(init=False)
    _task: asyncio.Task[None] = field(init=False)
    _readers: int = field(default=0, init=False)
    _joined: int = field(default=0, init=False)
    _kept: bool = field(default=False, init=False)
    is_landing: bool = field(default=False, init=False)  # nobody may join any more
    ended: asyncio.Event = field(factory=asyncio.Event, init=False)
    _grace: asyncio.TimerHandle | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        """Take off."""
        self._progress = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._run())

    @asynccontextmanager
    async def joined(self) -> AsyncIterator[Progress]:
        """Read along. Raises what keeps the blob from beginning to arrive."""
        self._joined += 1
        self._readers += 1
        if self._grace is not None:
            self._grace.cancel()
        try:
            yield await asyncio.shield(self._progress)
        finally:
            self._readers -= 1
            if self._readers == 0:
                self._last_one_left()

    async def land(self) -> None:
        """Stop, keeping what has come, and wait for the end."""
        self._cancel()
        await self.ended.wait()

    def _cancel(self) -> None:
        self.is_landing = True
        self._task.cancel()

    def _last_one_left(self) -> None:
        progress = self._begun
        if self._task.done():
            self._close(progress)
        elif self._joined >= GRACE_DEVICES or (progress and progress.reached >= GRACE_BYTES):
            self._grace = asyncio.get_running_loop().call_later(GRACE_SECONDS, self._cancel)
        elif not (progress and progress.proven):
            self._cancel()

    @property
    def _begun(self) -> Progress | None:
        if not self._progress.done() or self._progress.exception() is not None:
            return None
        return self._progress.result()

    async def _run(self) -> None:
        failure: Exception = FlightLandedError("the flight was stopped")
        try:
            async with self._upstreams.lease(self._connection) as upstream:
                async with await self._download(upstream) as download:
                    progress = await self._begin(download.length)
                    await self._receive(download, progress)
                await self._prove(progress)
            await asyncio.to_thread(
                self._store.commit, self._ingest, self.key, self._pieces.finish(), progress.length
            )
            self._kept = True
        except (UpstreamError, WrongBytesError, ConnectionRevokedError) as error:
            failure = error
        except (NoRoomError, SealedSecretError) as error:
            failure = error
        except OSError as error:
            _log.error("store failed", digest=self.key.digest, reason=type(error).__name__)
            failure = error
        finally:
            self._end(failure)

    async def _download(self, upstream: Upstream) -> AbstractAsyncContextManager[Download]:
        """Return the download from upstream, behind what a dead owner left."""
        length, size = self._ingest.known_length, self._ingest.size
        if length is None or not size:
            return open_download(upstream, self.repository, self.key.digest)
        verifier = HeldBackVerifier(self.key.digest, length)
        await asyncio.to_thread(self._rehash, verifier, size)
        _log.info("partial taken over", digest=self.key.digest, bytes=size)
        return continue_download(upstream, self.repository, verifier)

    def _rehash(self, verifier: HeldBackVerifier, size: int) -> None:
        while verifier.taken < size:
            chunk = os.pread(self._ingest.descriptor, REHASH_BYTES, verifier.taken)
            verifier.take_verbatim(chunk)
            self._pieces.update(chunk)

    async def _begin(self, length: int) -> Progress:
        """Make room and let readers in."""
        reached = self._ingest.size
        if not reached:
            await self._store.make_room(length)
            self._ingest.announce(length)
        progress = Progress(os.dup(self._ingest.descriptor), length, reached)
        self._progress.set_result(progress)
        return progress

    async def _receive(self, download: Download, progress: Progress) -> None:
        """Write what comes, in a thread, and let readers follow.

        A hop for every chunk was measured at 7 CPU seconds a GiB; so they are gathered, but no
        longer than a device would notice.
        """
        gathered, gathered_bytes, written_at = list[bytes](), 0, 0.0
        async for chunk in download.unverified_chunks():
            gathered.append(chunk)
            gathered_bytes += len(chunk)
            now = time.monotonic()
            if gathered_bytes >= GATHERED_BYTES or now - written_at >= GATHERED_SECONDS:
                await self._write(gathered, progress)
                gathered, gathered_bytes, written_at = [], 0, now
        await self._write(gathered, progress)

    async def _write(self, chunks: list[bytes], progress: Progress) -> None:
        await asyncio.to_thread(self._append, chunks)
        progress.move(progress.reached + sum(map(len, chunks)))

    def _append(self, chunks: list[bytes]) -> None:
        self._ingest.append(chunks)
        for chunk in chunks:
            self._pieces.update(chunk)

    async def _prove(self, progress: Progress) -> None:
        """Let readers through to the end: digest and length agree."""
        self._ingest.prove()
        progress.prove()
        await asyncio.to_thread(self._store.index.prove, self.key, self.repository, OCTET_STREAM)

    def _end(self, failure: Exception) -> None:
        """Let go of the file, and tell readers if there will be no more."""
        if not self._kept:
            if isinstance(failure, WrongBytesError | UnexpectedAnswerError | NoRoomError | OSError):
                self._ingest.discard()
            else:
                self._ingest.release()
        progress = self._begun
        if progress is not None:
            progress.fail(failure)
        elif not self._progress.done():
            self._progress.set_exception(failure)
            self._progress.exception()  # taken: there may be no reader left
        if self._readers == 0:
            self._close(progress)
        self.ended.set()
        self._ended(self)

    def _close(self, progress: Progress | None) -> None:
        if progress is not None:
            os.close(progress.descriptor)
