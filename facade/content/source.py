"""What a pull is answered with: manifests, lengths and blobs, wherever their bytes come from."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Protocol, runtime_checkable

from attrs import define, field, frozen

from facade.content.manifest import VerifiedManifest
from facade.content.piece_size import RoomNow, nobody_says
from facade.metrics.pull_metrics import PullSource
from facade.registries.payer import PaidDownload, Payer
from facade.registries.upstream import Upstream
from facade.registries.upstreams import Upstreams
from facade.values.authorized_pull import AuthorizedPull
from facade.values.byte_range import ByteRanges, Span
from facade.values.piece import Piece
from shared.upstream.errors import UpstreamError
from shared.upstream.transport import Method


@runtime_checkable
class PiecesNowait(Protocol):
    """Pieces of which most can be had without waiting. An `await` for each costs a herd dearly."""

    def next_nowait(self) -> Piece | None:
        """Return the next piece, as `anext` would; None if only `anext` can tell what comes next:
        it may have to wait, and there may be none.
        """


class PiecesAtHand(PiecesNowait, Protocol):
    """The pieces of a whole blob, of which the first one is there. Whoever has them closes them."""

    def __aiter__(self) -> AsyncIterator[Piece]:
        """Return the pieces that were not given yet."""

    async def __anext__(self) -> Piece:
        """Return the next piece."""

    @property
    def left(self) -> int:
        """Bytes that were not given yet."""

    @property
    def is_next_last(self) -> bool:
        """Whether the piece that is there is all that is left."""

    def close(self) -> None:
        """Let go of the blob. To be called once."""


@frozen
class BlobPart:
    """What a span of a blob is answered with."""

    pieces: AsyncIterator[Piece]  # `PiecesNowait`, too, if they are read from a file
    is_verified: bool = True  # if not, it may end before the blob is proven: it is marked


class Blob(Protocol):
    """A blob that may be sent."""

    @property
    def length(self) -> int | None:
        """Bytes of the whole blob; None as long as nobody knows."""

    @property
    def gives_spans(self) -> bool:
        """Whether `part` may be called for one span after another; if not, only once."""

    @property
    def verifies_parts(self) -> bool:
        """Whether every part comes verified; otherwise each says for itself whether it does."""

    def expect(self, spans: Sequence[Span]) -> None:
        """Note what is asked for next, in this order: what is not there may be fetched at once."""

    async def whole(self) -> BlobPart:
        """Return all bytes, however many. The last ones come only if all were right."""

    async def part(self, span: Span) -> BlobPart:
        """Return the bytes of a span, if the length is known. The last ones come as in `whole`."""


@define(eq=False)
class Origin:
    """Where a pull's answer comes from, as far as that is known: for the metrics."""

    source: PullSource = PullSource.NONE

    def joins(self) -> None:
        """Note that somebody else brings it."""
        self.source = PullSource.ARRIVING


@frozen
class _OwnDownload:
    """A paid download that its pull begins; given back, the pull has joined another's."""

    _paid: PaidDownload
    _origin: Origin

    @property
    def device(self) -> str:
        return self._paid.device

    def end(self) -> None:
        self._paid.end()

    def give_back(self) -> None:
        self._paid.give_back()
        self._origin.joins()


@frozen
class PullInProgress(AuthorizedPull):
    """A pull that may ask upstream, and at whose cost.

    What is stored is read without a client of the registry, so that its secret stays sealed.
    """

    _upstreams: Upstreams
    payer: Payer
    first: ByteRanges | None = None  # what of a blob is wanted first; None: all of it
    origin: Origin = field(factory=Origin, eq=False)
    room_now: RoomNow = field(default=nobody_says, eq=False)

    @asynccontextmanager
    async def upstream(self) -> AsyncIterator[Upstream]:
        """Lend the connection's registry, asked on behalf of the payer, to whoever asks it now.

        Raises what keeps its client from being made.
        """
        async with self._upstreams.lease(self.connection) as upstream:
            yield upstream.asked_by(self.payer.device)

    async def pay_miss(self, method: Method = "GET") -> None:
        """Pay for a question to upstream, unless its answer is known already.

        Raises that answer, as `Upstream.require_worth_asking` does, and `TooCostlyError`.
        """
        await self._require_worth_asking(method)
        await self.payer.pay_miss()
        self.origin.source = PullSource.UPSTREAM

    def pay_download_nowait(self) -> PaidDownload | None:
        """Pay for a download now; None, and nothing paid, if `pay_download` would wait or raise."""
        upstream, paid = self._upstreams.made_nowait(self.connection), None
        with suppress(UpstreamError):
            if upstream is not None:
                self._look_for_answer(upstream.asked_by(self.payer.device), "GET")
                paid = self.payer.pay_download_nowait()
        return None if paid is None else self._own(paid)

    async def pay_download(self) -> PaidDownload:
        """Pay for a download, as `pay_miss` does."""
        await self._require_worth_asking("GET")
        return self._own(await self.payer.pay_download())

    def _own(self, paid: PaidDownload) -> PaidDownload:
        self.origin.source = PullSource.UPSTREAM
        return _OwnDownload(paid, self.origin)

    async def _require_worth_asking(self, method: Method) -> None:
        async with self.upstream() as upstream:
            self._look_for_answer(upstream, method)

    def _look_for_answer(self, upstream: Upstream, method: Method) -> None:
        """Raise the answer that is known already, if there is one."""
        pull = self.pull
        upstream.require_worth_asking(pull.kind, pull.repository, pull.digest, method)


class Content(Protocol):
    """Where content comes from.

    Everything raises `UpstreamError`, `WrongBytesError` and `TooCostlyError`.
    """

    async def require_right(self, asked: PullInProgress) -> None:
        """Return if the digest exists and the asker may read it."""

    async def manifest(self, asked: PullInProgress) -> VerifiedManifest:
        """Return a verified manifest."""

    def stored_manifest(
        self, asked: AuthorizedPull
    ) -> AbstractAsyncContextManager[AsyncIterator[Piece] | None]:
        """Give the checked pieces of the manifest that was just returned; None if it is not kept.

        If they turn out to be wrong, they raise `ArrivalEndedError` instead of ending.
        """

    def manifest_nowait(self, asked: AuthorizedPull) -> VerifiedManifest | None:
        """Return a verified manifest that the asker may read, if nothing has to be waited for."""

    def blob_nowait(self, asked: AuthorizedPull, room_now: RoomNow) -> "PiecesAtHand | None":
        """Return a whole blob that the asker may read, if its beginning needs no waiting."""

    def stores_some(self) -> bool:
        """Tell whether anything can be read without asking upstream."""

    async def blob_length(self, asked: PullInProgress) -> int:
        """Return a blob's length in bytes."""

    def blob(self, asked: PullInProgress) -> AbstractAsyncContextManager[Blob]:
        """Give a blob."""
