"""What the registry sends of a blob is received, until digest and length agree.

A blob of known length is filled in the order in which it is waited for; one of unknown length comes
from its first byte to the last.
"""

from collections.abc import Callable
from itertools import islice
from typing import Final

from attrs import frozen

from facade.arrivals.arrival import Progress
from facade.arrivals.doubted_length import DoubtedLength
from facade.arrivals.download import Download
from facade.arrivals.early_readers import EarlyReaders
from facade.arrivals.filling import Filling
from facade.arrivals.first_answer import Answer
from facade.arrivals.gather_budget import GatherBudget
from facade.arrivals.ingest_writer import IngestWriter
from facade.arrivals.room_writes import RoomWrites
from facade.arrivals.stream_growth import GrowthTerms
from facade.arrivals.verified_pieces import PieceVerifier
from facade.loop.thread_work import finish_in_thread
from facade.registries.upstream import Upstream
from facade.rights.right import Right
from facade.store.ingest_file import OwnedIngest
from facade.store.wanted_spans import ToldWants
from facade.values.piece import WrongBytesError
from shared.upstream.errors import UpstreamError

REHASHED_AT_ONCE: Final = 64  # times `REHASH_BYTES`: as long as a revocation may wait


@frozen
class Receiving:
    """How one blob is received, behind the registry's first answer."""

    _right: Right
    _upstream: Upstream
    _ingest: OwnedIngest
    _told: ToldWants
    _progress: Progress
    _writes: RoomWrites
    _early: EarlyReaders
    _written: Callable[[], None]  # told after each write and each stream, on the loop
    _budget: GatherBudget
    _growth: GrowthTerms

    async def receive(self, answer: Answer) -> None:
        """Write what comes and let readers follow.

        Raises `UpstreamError`, `WrongBytesError`, `StoreGaveUpError` and `OSError`.
        """
        if answer.download is not None:
            await self._early.close()
            await self._receive_in_order(answer.download)
        elif answer.length is not None:
            await self._fill(answer, answer.length)

    async def _fill(self, answer: Answer, length: int) -> None:
        """Bring a blob of known length in whatever order it is waited for."""
        upstream, repository, digest = (
            self._upstream,
            self._right.repository,
            self._right.key.digest,
        )
        filling = Filling(
            upstream,
            repository,
            PieceVerifier(digest, length),
            self._ingest,
            self._progress,
            self._told,
            self._writes.segment,
            self._written,
            self._budget,
            length,
            self._growth,
        )
        for each in self._early.end():
            if (want := each.note(length)) is not None:
                self._progress.want(want)
        # Beside an answer with the whole, each range would come twice.
        early = await self._early.asked_of(length if answer.is_told_by_range else 0)
        doubted = DoubtedLength(upstream, repository, digest, length)
        try:
            await filling.fill(
                answer.span,
                has_ranges=answer.has_ranges,
                doubted=doubted if answer.is_told_by_range else None,
                early=early,
            )
        except (UpstreamError, WrongBytesError) as error:
            if answer.is_told_by_range:
                doubted.note(error)
            raise
        finally:
            await doubted.end()
        if upstream.lengths.was_mistold(digest):
            upstream.lengths.prove(digest, length)

    async def _receive_in_order(self, download: Download) -> None:
        """Bring a blob of unknown length. What a dead owner left is hashed first.

        Readers may read that meanwhile.
        """
        progress, verifier = self._progress, download.verifier
        progress.advance(0, progress.file.checked)
        await self._rehash(verifier)

        def written() -> None:
            progress.advance(0, progress.file.checked)
            self._written()

        # It holds the verifier and not the download, because that will hold the writer.
        writer = IngestWriter(
            lambda chunks: self._writes.append(chunks, verifier), written, budget=self._budget
        )
        try:
            async for chunk in download.unverified_chunks(writer.settle):
                await writer.put(chunk)
        finally:
            await writer.stop()

    async def _rehash(self, verifier: PieceVerifier) -> None:
        left = self._ingest.left()

        def take_some() -> bool:
            before = verifier.taken
            for chunk in islice(left, REHASHED_AT_ONCE):
                verifier.take_verbatim(chunk)
            return verifier.taken > before

        while await finish_in_thread(take_some):
            pass
