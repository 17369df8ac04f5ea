"""A manifest: so small that all of it is verified before the first header is sent."""

from contextlib import AbstractAsyncContextManager, AsyncExitStack
from io import BytesIO
from typing import Final

import orjson
from attrs import field, frozen

from facade.content.json_fields import JsonField, UnreadableJsonError, fields_of
from facade.content.manifest_meaning import header_media_type, media_type_of
from facade.registries.upstream import Upstream
from facade.values.piece import WrongBytesError
from shared.oci import MAX_MANIFEST_BYTES, Digest, Kind, RepositoryName
from shared.outside_bytes import Party, reads_bytes_of
from shared.upstream.answer import UpstreamAnswer

# A manifest of up to so many bytes is parsed whole, on the loop. Of a longer one only the top level
# is parsed, in a thread, because a registry could make that cost most of a second.
WHOLLY_READ_BYTES: Final = 64 * 1024


@frozen
class VerifiedManifest:
    """The exact bytes of a digest, and the media type that they and upstream agree on."""

    content: bytes = field(repr=False)
    media_type: str


async def fetch_manifest(
    upstream: Upstream, repository: RepositoryName, digest: Digest
) -> VerifiedManifest:
    """Return the manifest of a digest.

    Raises `WrongBytesError` if the bytes or the media type lie, `UpstreamError` otherwise.
    """
    async with AsyncExitStack() as place:
        async with upstream.fetch(Kind.MANIFEST, repository, digest) as answer:
            content = await read_content(answer, LongBody(upstream.long_manifests, place))
        return await verified(upstream, answer, content, digest)


@frozen
class LongBody:
    """A place in memory for a body that turns out to be long: it waits for one, and keeps it."""

    _places: AbstractAsyncContextManager[object]
    _stack: AsyncExitStack

    async def wait(self) -> None:
        """Return when there is a place."""
        await self._stack.enter_async_context(self._places)


async def read_content(answer: UpstreamAnswer, long: LongBody | None = None) -> bytes:
    """Return the unverified body of a manifest's answer, whether or not it names its length.

    Raises `WrongBytesError` if it is too long, `UpstreamError` if it breaks.
    """
    _require_short(answer.content_length or 0)
    content = BytesIO()  # gives its bytes without copying them
    async for chunk in answer.chunks():
        content.write(chunk)
        _require_short(content.tell())
        if content.tell() > WHOLLY_READ_BYTES and long is not None:
            await long.wait()
            long = None
    return content.getvalue()


async def verified(
    upstream: Upstream, answer: UpstreamAnswer, content: bytes, digest: Digest
) -> VerifiedManifest:
    """Return what `verify_answer` returns, without blocking the loop for long."""
    if len(content) <= WHOLLY_READ_BYTES:
        return verify_answer(answer, content, digest)
    return await upstream.large_manifests.run(verify_answer, answer, content, digest)


def verify_answer(answer: UpstreamAnswer, content: bytes, digest: Digest) -> VerifiedManifest:
    """Return the verified manifest of an answer; raise `WrongBytesError`. Pure."""
    return verify_manifest(content, header_media_type(answer.content_types), digest)


@reads_bytes_of(Party.REGISTRY)
def verify_manifest(content: bytes, media_type: str | None, digest: Digest) -> VerifiedManifest:
    """Return the verified manifest; raise `WrongBytesError`. Pure.

    `media_type` is the header's, None if there is none.
    """
    hasher = digest.hasher()
    hasher.update(content)
    if not digest.names(hasher):
        raise WrongBytesError("the bytes are not those of the digest")
    header = header_media_type(() if media_type is None else (media_type,))
    return VerifiedManifest(content, media_type_of(header, _fields(content)))


def _fields(content: bytes) -> list[JsonField]:
    try:
        if len(content) <= WHOLLY_READ_BYTES:
            orjson.loads(content)
        return fields_of(content)
    except orjson.JSONDecodeError:
        raise WrongBytesError("the manifest is not JSON") from None
    except UnreadableJsonError as error:
        raise WrongBytesError(str(error)) from None


def _require_short(length: int) -> None:
    if length > MAX_MANIFEST_BYTES:
        raise WrongBytesError(f"a manifest has at most {MAX_MANIFEST_BYTES} bytes")
