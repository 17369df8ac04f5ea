"""A check's pull: content is fetched from the registry as for a device, and verified.

By GET, with the resuming of a download. Nothing is kept.
"""

import time
from typing import Final

from facade.arrivals.download import open_download
from facade.commands.typed_reference import TypedDigest
from facade.content.manifest import fetch_manifest
from facade.registries.circuit_breaker import CircuitBreaker
from facade.registries.upstream import Upstream
from facade.values.piece import WrongBytesError
from shared.upstream.client import RegistryClient
from shared.upstream.errors import (
    GoneError,
    NotInRegistryError,
    UnexpectedAnswerError,
    UpstreamError,
)

# Somebody waits, so longer content is read only so far, from the registry or the store it names.
MAX_READ_BYTES: Final = 16 * 1024 * 1024


class WrongContentError(UpstreamError):
    """The registry gives something, but not what the digest names."""


async def pull(client: RegistryClient, asked: TypedDigest) -> str | None:
    """Return in words what was pulled, None if the registry has nothing of this digest.

    Raises `UpstreamError`.
    """
    upstream = Upstream(client, CircuitBreaker(time.monotonic))
    try:
        return await _manifest(upstream, asked) or await _blob(upstream, asked)
    except WrongBytesError as error:
        raise WrongContentError(
            f"what the registry gives is not what the digest names: {error}"
        ) from None


async def _manifest(upstream: Upstream, asked: TypedDigest) -> str | None:
    try:
        manifest = await fetch_manifest(upstream, asked.at.repository, asked.digest)
    except (GoneError, NotInRegistryError):
        return None
    return f"the registry has a manifest of {len(manifest.content)} bytes, and gives it"


async def _blob(upstream: Upstream, asked: TypedDigest) -> str | None:
    read = 0
    try:
        async with open_download(upstream, asked.at.repository, asked.digest) as download:
            async for piece in download.verified_pieces():
                read += len(piece)
                if read > MAX_READ_BYTES:
                    return f"the registry has a blob, and gives the first {MAX_READ_BYTES} bytes"
    except (GoneError, NotInRegistryError):
        if read:
            raise UnexpectedAnswerError("the registry lost the blob while it gave it") from None
        return None
    return f"the registry has a blob of {read} bytes, and gives it"
