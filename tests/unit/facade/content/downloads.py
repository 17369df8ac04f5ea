"""Downloads of the tests, and what a device would have been sent of each."""

import hashlib
import random
from typing import Final

import pytest
from attrs import define

from facade.arrivals.download import open_download
from facade.registries.upstream import Upstream
from facade.values.piece import PIECE_BYTES
from shared.oci import Digest, Kind, RepositoryName

REPOSITORY: Final = RepositoryName("team/app")
SMALL: Final = b"a small blob"
LARGE: Final = random.Random(2).randbytes(5 * PIECE_BYTES + 4711)  # noqa: S311 - any bytes will do


def digest_of(content: bytes) -> Digest:
    """Return the SHA-256 digest of a content."""
    return Digest("sha256", hashlib.sha256(content).hexdigest())


@define
class Received:
    """What a device would have been sent."""

    body: bytes = b""
    announced: int | None = None

    async def take(self, upstream: Upstream, digest: str, delay: float = 0.001) -> None:
        """Download to the end, or raise."""
        parsed = Digest.parse(digest)
        with upstream.verifying(Kind.BLOB, REPOSITORY, parsed):
            async with open_download(
                upstream, REPOSITORY, parsed, first_resume_delay=delay
            ) as download:
                self.announced = download.length
                async for piece in download.verified_pieces():
                    self.body += piece


async def received(upstream: Upstream, digest: str, delay: float = 0.001) -> Received:
    """Return the whole blob, as it was sent."""
    got = Received()
    await got.take(upstream, digest, delay)
    assert got.announced in (None, len(got.body))
    return got


async def downloaded(upstream: Upstream, digest: str, delay: float = 0.001) -> bytes:
    """Return the whole blob, whose length was known before."""
    got = await received(upstream, digest, delay)
    assert got.announced is not None
    return got.body


async def refused(
    upstream: Upstream, digest: str, error: type[Exception] | tuple[type[Exception], ...]
) -> Received:
    """Return what came before the error."""
    got = Received()
    with pytest.raises(error):
        await got.take(upstream, digest)
    return got
