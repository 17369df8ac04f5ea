"""A manifest: small enough to be whole and verified before its first header is sent."""

import re
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
from shared.upstream.answer import UpstreamAnswer

# Names of fields, case-folded.
_MEDIA_TYPE_FIELD: Final = "mediatype"
_INDEX_FIELDS: Final = frozenset({"manifests"})
_IMAGE_FIELDS: Final = frozenset({"layers", "config", "fslayers", "blobs"})

# What somebody calls a manifest, served here or not: schema 1, say, or another vendor's.
_NAMED_MANIFEST: Final = re.compile(r"application/vnd\..*\b(?:manifest|index)\b.*", re.ASCII)


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
    async with upstream.fetch(Kind.MANIFEST, repository, digest) as answer:
        return verify_answer(answer, await read_content(answer), digest)


async def read_content(answer: UpstreamAnswer) -> bytes:
    """Return the unverified body of a manifest's answer, whether or not it names its length.

    Raises `WrongBytesError` if it is too long, `UpstreamError` if it breaks.
    """
    _require_short(answer.content_length or 0)
    content = bytearray()
    async for chunk in answer.chunks():
        content += chunk
        _require_short(len(content))
    return bytes(content)


def verify_answer(answer: UpstreamAnswer, content: bytes, digest: Digest) -> VerifiedManifest:
    """Return the verified manifest of an answer; raise `WrongBytesError`. Pure.

    Content-Type lines that differ name no type, so the body has to; and none of them may name
    another manifest type.
    """
    manifest = verify_manifest(content, answer.content_type, digest)
    others = answer.content_types - {manifest.media_type}
    if any(map(_names_manifest, others)):
        message = "the Content-Type lines name several manifest types"
        raise WrongBytesError(message)
    return manifest


def verify_manifest(content: bytes, media_type: str | None, digest: Digest) -> VerifiedManifest:
    """Return the verified manifest; raise `WrongBytesError`. Pure.

    `media_type` is the header's. If that is no manifest type (`text/plain`, or None), the body's
    own `mediaType` is the manifest's; if both name one, they have to agree.
    """
    hasher = digest.hasher()
    hasher.update(content)
    if not digest.names(hasher):
        message = "the bytes are not those of the digest"
        raise WrongBytesError(message)
    try:
        manifest = orjson.loads(content)
    except orjson.JSONDecodeError:
        message = "the manifest is not JSON"
        raise WrongBytesError(message) from None
    if not isinstance(manifest, dict):
        message = "the manifest is not a JSON object"
        raise WrongBytesError(message)
    if media_type is None or not _names_manifest(media_type):
        media_type = manifest.get("mediaType")
    if media_type not in MANIFEST_MEDIA_TYPES:
        message = "neither the Content-Type nor the body names a manifest type that is served"
        raise WrongBytesError(message)
    _require_one_meaning(manifest, media_type)
    return VerifiedManifest(content, media_type)


def _names_manifest(media_type: str) -> bool:
    return _NAMED_MANIFEST.fullmatch(media_type) is not None


def _require_short(length: int) -> None:
    if length > MAX_MANIFEST_BYTES:
        message = f"a manifest has at most {MAX_MANIFEST_BYTES} bytes"
        raise WrongBytesError(message)


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
