"""A blob while it arrives, as its readers see it: what they may read, and the bytes.

It is filled in the order in which its readers wait for it. What an answer holds back until digest
and length agree, `Want` says; whichever process finds that out.
"""

import asyncio
import math
from collections.abc import Iterator, Sequence
from itertools import count
from typing import Final, Protocol

from attrs import define, field

from facade.arrivals.arrival_state import ArrivalMachine
from facade.arrivals.gaps import ALIGNED_BYTES, Fetched, aligned_end, is_near
from facade.arrivals.just_come import FirstPieces, JustCome
from facade.arrivals.marked_ranges import MarkedRanges
from facade.arrivals.want import Ends, Want
from facade.errors import PullError
from facade.store.arriving_file import ArrivingFile
from facade.store.inode import Inode
from facade.store.page_cache_read import READ_BYTES
from facade.store.shared_pieces import BlobReaders
from facade.values.coverage import Coverage
from facade.values.piece import PIECE_BYTES, Piece, WrongBytesError
from shared.oci import RepositoryName

POLL_SECONDS: Final = 0.02  # another process does not tell of its progress, so it is looked at


class ArrivalEndedError(PullError):
    """The blob will not arrive in this way. Its `__cause__` is what happened, if that is known."""

    def __str__(self) -> str:
        """Say what happened."""
        return str(self.__cause__ or super().__str__() or "the blob stopped arriving")


class OwnerDiedError(ArrivalEndedError):
    """The process that brought the blob is gone. Somebody has to take over."""


class StoreGaveUpError(ArrivalEndedError):
    """The store takes no more of it. What came can be read; only upstream has the rest."""


class Arrival(Protocol):
    """An arriving blob."""

    @property
    def length(self) -> int | None:
        """Bytes of the whole blob; None until it is proven, if the registry does not tell."""

    @property
    def reached(self) -> int:
        """The end of its beginning that has come, counted in whole pieces with checksums."""

    @property
    def is_proven(self) -> bool:
        """Whether digest and length agree, as far as was seen."""

    @property
    def is_wrong(self) -> bool:
        """Whether nothing more of it may be sent: its bytes were wrong, or may have been."""

    @property
    def repository(self) -> RepositoryName:
        """The repository through which upstream gives it."""

    @property
    def inode(self) -> Inode:
        """The file that is filled. A new attempt has another one."""

    def want(self, want: Want) -> None:
        """Note that a reader wants some of it, until it leaves."""

    def leave(self, want: Want) -> None:
        """Note that a reader wants no more of it."""

    async def sendable(self, want: Want) -> int:
        """Wait until bytes from `want.at` on may be sent; return the end of what may be.

        If the blob is proven, that is the end of the blob. Raises `ArrivalEndedError` if they will
        not come, or were wrong, and `OSError`.
        """

    async def note_marked(self, device: str) -> None:
        """Note that a device is sent bytes of it that nobody could verify yet."""

    def read_nowait(self, offset: int, count: int) -> Piece | None:
        """Return at most `count` bytes that have come; None if the read would have to wait.

        Raises `OSError`, also if the bytes are not what came.
        """

    async def read(self, offset: int, count: int) -> memoryview:
        """Return `count` bytes that have come; raise `OSError` as `read_nowait` does."""


@define(eq=False)
class Progress:
    """How far a download of this process has come. Its readers are told."""

    file: ArrivingFile
    repository: RepositoryName
    machine: ArrivalMachine  # of its flight, which alone advances it, and then tells
    readers: BlobReaders = field(factory=BlobReaders)
    come: Coverage = field(factory=Coverage)  # and may be read
    marked: MarkedRanges | None = None  # None: nobody notes them
    asked: Coverage = field(factory=Coverage, init=False)  # by anybody who is or was here
    is_asked_whole: bool = field(default=False, init=False)
    is_left: bool = field(default=False, init=False)  # nobody reads it, and its flight goes on
    wants: dict[Want, None] = field(factory=dict, init=False)
    streams: list[Fetched] = field(factory=list, init=False)  # those that bring it now
    has_streams: bool = field(default=False, init=False)  # or has had some
    hungry: asyncio.Event = field(factory=asyncio.Event, init=False)  # other bytes are wanted
    unreadable: OSError | None = field(default=None, init=False)  # what reading it has met
    just_come: JustCome | None = field(default=None, init=False)  # and is being written
    _first_pieces: FirstPieces = field(factory=FirstPieces, init=False)
    _waits: Iterator[int] = field(factory=count, init=False)
    _waiting: dict[Want, asyncio.Future[None]] = field(factory=dict, init=False)

    @property
    def length(self) -> int | None:
        """Bytes of the whole blob."""
        return self.file.length

    @property
    def reached(self) -> int:
        """The end of its beginning."""
        return self._come_to(0)

    @property
    def is_proven(self) -> bool:
        """Whether digest and length agree."""
        return self.machine.is_proven

    @property
    def is_wrong(self) -> bool:
        """Whether its bytes were wrong."""
        machine = self.machine  # asked for each piece: what is hardly ever so is looked at first
        return isinstance(machine.cause, WrongBytesError) and not machine.is_proven

    @property
    def inode(self) -> Inode:
        """The file that is filled."""
        return self.file.inode

    @property
    def wanted(self) -> float:
        """How many bytes there will be if all comes that was asked for; infinite: all of it."""
        if self.is_asked_whole or self.length is None:
            return math.inf
        missing = sum(
            gap_end - gap
            for first, end in self.asked
            for gap, gap_end in self.come.gaps(first, end)
        )
        return self.come.count + missing

    def want(self, want: Want) -> None:
        """Note what a reader wants."""
        self.wants[want] = None
        self.is_asked_whole = self.is_asked_whole or want.needs_all
        self._stir(want)

    def leave(self, want: Want) -> None:
        """Note that it wants no more."""
        if self.wants.pop(want, self) is None:
            self.is_asked_whole = self.is_asked_whole or want.needs_all
            self._note_asked(want)
            self.hungry.set()

    def _note_asked(self, want: Want) -> None:
        """Note whole pieces, and only what is missing: a device may ask for each byte."""
        length = self.length or 0
        for gap, gap_end in self.come.gaps(want.at, want.wanted_end or 0):
            self.asked.add(gap - gap % ALIGNED_BYTES, aligned_end(gap_end, length))

    def advance(self, first: int, end: int) -> None:
        """Note that these bytes have come, with their checksums.

        Only who can go on by it is woken: of a herd that reads in ranges, most wait for others.
        """
        self.come.add(first, end)
        self._wake(first)

    def begin_stream(self, stream: Fetched) -> None:
        """Note that a stream brings some of it now."""
        self.streams.append(stream)
        self.has_streams = True

    def end_stream(self, stream: Fetched) -> None:
        """Note that it brings no more."""
        self.streams.remove(stream)

    def show(self, chunk: bytes, first: int) -> None:
        """Give readers the first whole pieces that come, while they are written; no others."""
        if self.length is not None and (come := self._first_pieces.take(chunk, first, self.length)):
            self.just_come = come
            self._wake(come.first)

    def note_written(self, chunks: Sequence[bytes]) -> None:
        """Note that these have been written, or compared, and their whole pieces have come."""
        if self.just_come is not None and any(each is self.just_come.last for each in chunks):
            self.just_come = None

    @property
    def is_ahead(self) -> bool:
        """Whether readers were shown what the file does not have yet, and is about to have."""
        shown = self.just_come
        if shown is None or (come_to := self.come.run_end(shown.first)) >= shown.end:
            return False
        is_brought = any(each.at <= come_to < each.end for each in self.streams)
        return is_brought or not self.has_streams

    def require_as_shown(self) -> None:
        """Raise `WrongBytesError` if readers were shown other bytes than the file has. Blocks.

        The stream that brought them has ended before they were written, and another one has brought
        them, too.
        """
        shown = self.just_come
        if shown is not None:
            count = shown.end - shown.first
            if self.file.read_now(shown.first, count) != shown.read(shown.first, count):
                raise WrongBytesError("the registry sent other bytes the second time")

    def _wake(self, first: int) -> None:
        # Whoever waits elsewhere finds no more than before: at most a piece is held back.
        near, come_to = first - PIECE_BYTES, self._come_to(first)
        for want, moved in self._waiting.items():
            is_touched = near <= want.at < come_to or want.ends is Ends.IN_STEP
            if is_touched and not moved.done() and self._limit(want) is not None:
                moved.set_result(None)

    def _come_to(self, offset: int) -> int:
        """Return the end of what may be read from an offset on without a gap."""
        come_to = self.come.run_end(offset)
        if self.just_come is None:
            return come_to
        return self.come.run_end(self.just_come.run_end(come_to))

    async def sendable(self, want: Want) -> int:
        """Wait as `Arrival` says."""
        try:
            while True:
                if (limit := self._limit(want)) is not None:
                    return limit
                self._raise_failure()
                if want.waits_since is None:
                    want.waits_since = next(self._waits)
                self._stir(want)
                moved = self._waiting[want] = asyncio.get_running_loop().create_future()
                await moved
        finally:
            want.waits_since = None
            self._waiting.pop(want, None)

    def _limit(self, want: Want) -> int | None:
        """Return the end of what may be sent; None if nothing may."""
        if self.is_proven:
            return self.length or 0
        if self.is_wrong:
            return None
        limit = want.sendable(self._come_to(want.at), self.come.count, self.length)
        return limit if limit > want.at else None

    async def note_marked(self, device: str) -> None:
        """Note it for the log."""
        if self.marked is not None:
            await self.marked.note(device)

    def _raise_failure(self) -> None:
        failure = self.machine.cause
        if isinstance(failure, StoreGaveUpError):
            raise StoreGaveUpError from failure.__cause__
        if failure is not None:
            raise ArrivalEndedError from failure

    def _stir(self, want: Want) -> None:
        """Have other bytes fetched, unless the next ones come soon anyhow."""
        come_to = self._come_to(want.at)
        is_held_back = want.end is not None and come_to >= (want.wanted_end or 0)
        if not (self.streams if is_held_back else is_near(come_to, self.streams)):
            self.hungry.set()

    def read_nowait(self, offset: int, count: int) -> Piece | None:
        """Return bytes of the growing file, to a multiple of `READ_BYTES` at most.

        So readers ask for the same pieces, wherever they began, and share them.
        """
        if self.just_come is not None:
            if (shown := self.just_come.read(offset, count)) is not None:
                return shown
            count = self.just_come.count_before(offset, count)
        shared = self.readers.piece_at(offset, count)
        if shared is not None:
            return shared
        piece = self.file.read_nowait(offset, min(count, READ_BYTES - offset % READ_BYTES))
        if piece is not None:
            self.readers.share(offset, piece)
        return piece

    async def read(self, offset: int, count: int) -> memoryview:
        """Return bytes of the growing file, or of what is being written."""
        if self.just_come is None:
            return await self._read_file(offset, count)
        piece = self.just_come.read(offset, count)
        if piece is None:
            before = self.just_come.count_before(offset, count)
            piece = await self._read_file(offset, before)
        if len(piece) == count:
            return piece
        rest = await self.read(offset + len(piece), count - len(piece))
        return memoryview(bytes(piece) + rest)

    async def _read_file(self, offset: int, count: int) -> memoryview:
        """Return bytes of the growing file. If they are unreadable, whoever fills it is told."""
        try:
            piece = await self.file.read(offset, count)
        except OSError as error:
            self.unreadable = error
            self.hungry.set()
            raise
        if count <= READ_BYTES and self.readers.piece_at(offset, count) is None:
            self.readers.share(offset, piece)
        return piece

    def tell(self) -> None:
        """Let all readers look again, because the state is another one."""
        for moved in self._waiting.values():
            if not moved.done():
                moved.set_result(None)
