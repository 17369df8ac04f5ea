"""Whether a registry gives a blob, asked so that it costs little."""

from contextlib import suppress

from facade.registries.upstream import Upstream
from shared.oci import Digest, Kind, RepositoryName
from shared.upstream.asked_range import THE_FIRST_BYTE
from shared.upstream.errors import RangeRefusedError


async def require_given_blob(
    upstream: Upstream, repository: RepositoryName, digest: Digest
) -> None:
    """Return if a GET is answered with a blob's first byte, or raise `UpstreamError`.

    Raises it also for an answer that any web server may give, as a login page.
    """
    with suppress(RangeRefusedError):  # it has the blob, but does not give the first byte alone
        async with upstream.fetch(Kind.BLOB, repository, digest, THE_FIRST_BYTE) as answer:
            if answer.content_range is None:
                answer.require_claim()


async def require_there(upstream: Upstream, repository: RepositoryName, digest: Digest) -> None:
    """Return if upstream's HEAD says that the blob is there, or raise `UpstreamError`."""
    async with upstream.fetch(Kind.BLOB, repository, digest, method="HEAD"):
        pass
