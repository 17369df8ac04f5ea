"""What a pull is answered with: manifests, lengths and blobs, wherever their bytes come from."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Protocol, runtime_checkable

from attrs import define, field, frozen

from facade.content.manifest import VerifiedManifest
from facade.metrics.pull_metrics import PullSource
from facade.registries.payer import PaidDownload, Payer
from facade.registries.upstream import Upstream
from facade.values.byte_range import Span
from facade.values.piece import Piece
from facade.values.pull_path import Pull
from shared.approved_connection import ApprovedConnection
from shared.upstream.client import Method


@runtime_checkable
class PiecesNowait(Protocol):
    """Pieces of which most can be had without waiting: an `await` for each costs a herd dearly."""

    def next_nowait(self) -> Piece | None:
        """Return the next piece, as `anext` would; None where it has to be waited for, or asked
        whether there is one: then `anext` tells.
        """


@frozen
class BlobPart:
    """What a span of a blob is answered with."""

    pieces: AsyncIterator[Piece]  # `PiecesNowait` besides, where they are read from a file
    is_verified: bool = True  # else passed on as upstream says: marked, and kept by nobody


class Blob(Protocol):
    """A blob that may be sent."""

    @property
    def length(self) -> int | None:
        """Bytes of the whole blob; None as long as nobody knows."""

    async def whole(self) -> BlobPart:
        """Return all bytes, however many; the last of them come only if all was right."""

    async def part(self, span: Span) -> BlobPart:
        """Return the bytes of a span, where the length is known; the last as for the whole."""


@frozen
class AuthorizedPull:
    """An authorised pull, and by which connection."""

    pull: Pull
    connection: ApprovedConnection


@define(eq=False)
class Origin:
    """Where what a pull is answered with comes from, as far as that is known: for the metrics."""

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
    """One that may ask upstream: through which, at whose cost."""

    _upstream: Upstream
    payer: Payer
    origin: Origin = field(factory=Origin, eq=False)

    @property
    def upstream(self) -> Upstream:
        """The connection's registry, asked on behalf of the payer."""
        return self._upstream.asked_by(self.payer.device)

    async def pay_miss(self, method: Method = "GET") -> None:
        """Pay for a question to upstream, unless what is known is answer enough.

        Raises that answer, as `Upstream.require_worth_asking`, and `TooCostlyError`.
        """
        self._require_worth_asking(method)
        await self.payer.pay_miss()
        self.origin.source = PullSource.UPSTREAM

    async def pay_download(self) -> PaidDownload:
        """Pay for a download, as `pay_miss` does."""
        self._require_worth_asking("GET")
        paid = await self.payer.pay_download()
        self.origin.source = PullSource.UPSTREAM
        return _OwnDownload(paid, self.origin)

    def _require_worth_asking(self, method: Method) -> None:
        pull = self.pull
        self.upstream.require_worth_asking(pull.kind, pull.repository, pull.digest, method)


class Content(Protocol):
    """Where content comes from.

    Everything raises `UpstreamError`, `WrongBytesError` and `TooCostlyError`.
    """

    async def require_right(self, asked: PullInProgress) -> None:
        """Return where the asker may read the digest and it exists."""

    async def manifest(self, asked: PullInProgress) -> VerifiedManifest:
        """Return a verified manifest."""

    def stored_manifest(
        self, asked: AuthorizedPull
    ) -> AbstractAsyncContextManager[AsyncIterator[Piece] | None]:
        """Give the checked pieces of the manifest that was just returned; None if it is not kept.

        They break with `ArrivalEndedError` rather than end wrong.
        """

    def manifest_nowait(self, asked: AuthorizedPull) -> VerifiedManifest | None:
        """Return a verified manifest that the asker may read, if nothing has to be waited for."""

    def stores_some(self) -> bool:
        """Tell whether anything can be read for which upstream is not asked."""

    async def blob_length(self, asked: PullInProgress) -> int:
        """Return a blob's length in bytes."""

    def blob(self, asked: PullInProgress) -> AbstractAsyncContextManager[Blob]:
        """Give a blob."""
