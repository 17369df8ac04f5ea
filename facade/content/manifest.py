"""A manifest: small enough to be whole and verified before its first header is sent."""

from collections.abc import Mapping
from typing import Final

import orjson
from attrs import field, frozen

from facade.content.held_back import WrongBytesError
from facade.registries.upstream import Upstream
from shared.oci import (
    INDEX_MEDIA_TYPES,
    MANIFEST_MEDIA_TYPES,
    MAX_MANIFEST_BYTES,
    Digest,
    Kind,
    RepositoryName,
)
from shared.upstream.errors import UnexpectedAnswerError

# Names of fields, case-folded.
_MEDIA_TYPE_FIELD: Final = "mediatype"
_INDEX_FIELDS: Final = frozenset({"manifests"})
_IMAGE_FIELDS: Final = frozenset({"layers", "config", "fslayers", "blobs"})


@frozen
class VerifiedManifest:
    """The exact bytes of a digest, and the media type that they and upstream agree on."""

    content: bytes = field(repr=False)
    media_type: str


async def fetch_manifest(
    upstream: Upstream, repository: RepositoryName, digest: Digest
) -> VerifiedManifest:
    """Return the manifest of a digest.

    Raises `WrongBytesError` where the bytes or the media type lie, `UpstreamError` otherwise.
    """
    async with upstream.fetch(Kind.MANIFEST, repository, digest) as answer:
        length = answer.content_length
        if length is None:
            length = await _announced_length(upstream, repository, digest)
        if length > MAX_MANIFEST_BYTES:
            message = f"a manifest has at most {MAX_MANIFEST_BYTES} bytes"
            raise WrongBytesError(message)
        content = bytearray()
        async for chunk in answer.chunks():
            content += chunk
            if len(content) > length:
                message = "more bytes than the announced length"
                raise WrongBytesError(message)
        media_type = answer.content_type
    if len(content) != length:
        message = "fewer bytes than the announced length"
        raise WrongBytesError(message)
    return verify_manifest(bytes(content), media_type, digest)


def verify_manifest(content: bytes, media_type: str | None, digest: Digest) -> VerifiedManifest:
    """Return the verified manifest; raise `WrongBytesError`. Pure."""
    hasher = digest.hasher()
    hasher.update(content)
    if not digest.names(hasher):
        message = "the bytes are not those of the digest"
        raise WrongBytesError(message)
    if media_type not in MANIFEST_MEDIA_TYPES:
        message = "the Content-Type is not that of a manifest"
        raise WrongBytesError(message)
    try:
        manifest = orjson.loads(content)
    except orjson.JSONDecodeError:
        message = "the manifest is not JSON"
        raise WrongBytesError(message) from None
    if not isinstance(manifest, dict):
        message = "the manifest is not a JSON object"
        raise WrongBytesError(message)
    _require_one_meaning(manifest, media_type)
    return VerifiedManifest(content, media_type)


def _require_one_meaning(manifest: Mapping[str, object], media_type: str) -> None:
    """Refuse what one reader would take for an index and another for an image."""
    # Go's JSON, and so every client's, takes `MediaType` and `LAYERS` for the fields they fold to.
    named = [value for name, value in manifest.items() if name.casefold() == _MEDIA_TYPE_FIELD]
    fields = {name.casefold() for name in manifest}
    if any(value != media_type for value in named):
        message = "mediaType disagrees with the Content-Type"
        raise WrongBytesError(message)
    # CVE-2021-41190: with both, the Content-Type alone would decide what is pulled
    if fields & _INDEX_FIELDS and fields & _IMAGE_FIELDS:
        message = "the manifest is an index and an image at once"
        raise WrongBytesError(message)
    foreign = _IMAGE_FIELDS if media_type in INDEX_MEDIA_TYPES else _INDEX_FIELDS
    if fields & foreign:
        message = "the manifest's fields are those of another media type"
        raise WrongBytesError(message)


async def _announced_length(upstream: Upstream, repository: RepositoryName, digest: Digest) -> int:
    async with upstream.fetch(Kind.MANIFEST, repository, digest, method="HEAD") as answer:
        if answer.content_length is None:
            message = "no length, neither on GET nor on HEAD"
            raise UnexpectedAnswerError(message)
        return answer.content_length
