"""A tag's digest, to pin, and what one pulls with it: media type, platforms, sizes.

The digest is that of the bytes that came. If the registry's header says another, it is not
believed.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

import orjson
from attrs import evolve, frozen

from facade.content.manifest import VerifiedManifest, read_content, verify_answer
from facade.values.piece import WrongBytesError
from shared.oci import (
    INDEX_MEDIA_TYPES,
    Digest,
    InvalidDigestError,
    Kind,
    RepositoryName,
)
from shared.upstream.client import RegistryClient
from shared.upstream.errors import UpstreamError

MAX_PLATFORMS: Final = 100  # manifests of one index; large ones have 20
MAX_SIZE_BYTES: Final = 2**53  # exact in every JSON reader; no image is nearly as large
UNKNOWN_PLATFORM: Final = "unknown/unknown"  # BuildKit's, for attestations: nobody pulls them

# GOOS, GOARCH and variant, as Go names them; a hostile index may hold anything.
_PLATFORM_WORD: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)


@frozen
class PlatformManifest:
    """One manifest of an index. `size`: bytes of its config and layers, if known."""

    platform: str  # os/architecture[/variant]
    digest: Digest
    size: int | None = None


@frozen
class ResolvedTag:
    """What a tag names now. `size` is None for an index, and if the manifest does not say."""

    digest: Digest
    media_type: str
    size: int | None = None
    platforms: tuple[PlatformManifest, ...] = ()
    left_out: int = 0  # manifests of an index beyond `MAX_PLATFORMS`


async def resolve_tag(client: RegistryClient, repository: RepositoryName, tag: str) -> ResolvedTag:
    """Return what the tag names.

    Raises `UpstreamError`, and `WrongBytesError` if the registry's answer contradicts itself. If
    one platform's manifest cannot be fetched, only its size is missing.
    """
    found = await _manifest(client, repository, tag)
    digest = Digest.of(found.content)
    document = _read(found)
    if found.media_type not in INDEX_MEDIA_TYPES:
        return ResolvedTag(digest, found.media_type, image_size(document))
    listed = platforms_of(document)
    platforms = [await _with_size(client, repository, each) for each in listed[:MAX_PLATFORMS]]
    return ResolvedTag(
        digest,
        found.media_type,
        platforms=tuple(platforms),
        left_out=max(0, len(listed) - MAX_PLATFORMS),
    )


def image_size(manifest: Mapping[str, Any]) -> int | None:
    """Return the bytes of an image's config and layers; None if it does not say. Pure."""
    layers = manifest.get("layers")
    if not isinstance(layers, list):
        return None
    sizes = [_size(descriptor) for descriptor in (manifest.get("config"), *layers)]
    known = [size for size in sizes if size is not None]
    return sum(known) if len(known) == len(sizes) and sum(known) <= MAX_SIZE_BYTES else None


def platforms_of(index: Mapping[str, Any]) -> list[PlatformManifest]:
    """Return the manifests of an index that somebody may pull, by platform. Pure."""
    listed = index.get("manifests")
    found = [_platform_manifest(each) for each in listed] if isinstance(listed, list) else []
    return [each for each in found if each is not None and each.platform != UNKNOWN_PLATFORM]


async def _manifest(
    client: RegistryClient, repository: RepositoryName, reference: str | Digest
) -> VerifiedManifest:
    async with client.fetch(Kind.MANIFEST, repository, reference) as answer:
        content = await read_content(answer)
    named = reference if isinstance(reference, Digest) else _claimed_digest(answer.digest_header)
    return verify_answer(answer, content, named or Digest.of(content))


async def _with_size(
    client: RegistryClient, repository: RepositoryName, listed: PlatformManifest
) -> PlatformManifest:
    try:
        manifest = await _manifest(client, repository, listed.digest)
        return evolve(listed, size=image_size(_read(manifest)))
    except (UpstreamError, WrongBytesError):
        return listed  # the tag's own digest holds nevertheless


def _read(manifest: VerifiedManifest) -> dict[str, Any]:
    try:
        return dict(orjson.loads(manifest.content))
    except orjson.JSONDecodeError:  # of a large one only the top level is verified
        raise WrongBytesError("the manifest is not JSON") from None


def _claimed_digest(header: str | None) -> Digest | None:
    try:
        return Digest.parse(header) if header else None
    except InvalidDigestError:
        return None  # it claims nothing


def _platform_manifest(descriptor: object) -> PlatformManifest | None:
    match descriptor:
        case {"digest": str(digest), **more}:
            try:
                return PlatformManifest(_platform(more.get("platform")), Digest.parse(digest))
            except InvalidDigestError:
                return None
        case _:
            return None


def _platform(platform: object) -> str:
    match platform:
        case {"os": str(system), "architecture": str(architecture), "variant": str(variant)}:
            words = [system, architecture, *filter(None, [variant])]
        case {"os": str(system), "architecture": str(architecture)}:
            words = [system, architecture]
        case _:
            words = []
    is_readable = words and all(_PLATFORM_WORD.fullmatch(word) for word in words)
    return "/".join(words) if is_readable else "not named"


def _size(descriptor: object) -> int | None:
    match descriptor:
        case {"size": int(size)} if not isinstance(size, bool) and 0 <= size <= MAX_SIZE_BYTES:
            return size
        case _:
            return None
