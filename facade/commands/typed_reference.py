"""What a person types to name a registry, a repository, a tag or a digest. Pure.

The host may be in its canonical form (`registry.local:5000`), in that of a device's path
(`registry.local_5000`), or a name that people use for it (`hub.docker.com`). A repository becomes
its full name upstream (`busybox` -> `library/busybox` on Docker Hub), to which a connection's
prefix and patterns apply.
"""

from typing import Self

from attrs import frozen

from facade.errors import MalformedError
from shared.oci import (
    TAG,
    Digest,
    InvalidDigestError,
    InvalidRepositoryNameError,
    RepositoryName,
)
from shared.registry_host import RegistryHost
from shared.upstream.hosts import (
    UnusableHostError,
    registry_host_from_reference,
    upstream_repository,
)


class UnusableReferenceError(MalformedError, ValueError):
    """What was typed names nothing that can be asked for. The message says what to type."""


@frozen
class TypedRepository:
    """`HOST/REPOSITORY`."""

    host: RegistryHost
    repository: RepositoryName

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the repository; raise `UnusableReferenceError`."""
        host_text, _, name = text.partition("/")
        host = _host(host_text)
        try:
            return cls(host, upstream_repository(host, RepositoryName.parse(name)))
        except InvalidRepositoryNameError as error:
            raise UnusableReferenceError(str(error)) from None

    def __str__(self) -> str:
        """Return the canonical `host[:port]/repository`."""
        return f"{self.host}/{self.repository}"


@frozen
class TypedTag:
    """`HOST/REPOSITORY:TAG`."""

    at: TypedRepository
    tag: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the tag and where it is; raise `UnusableReferenceError`."""
        if "@" in text:
            raise UnusableReferenceError("a digest needs no resolving; give a tag")
        before, colon, tag = text.rpartition(":")
        if not colon or "/" in tag or not TAG.fullmatch(tag):
            raise UnusableReferenceError("expected HOST/REPOSITORY:TAG")
        return cls(TypedRepository.parse(before), tag)


@frozen
class TypedDigest:
    """`HOST/REPOSITORY@DIGEST`."""

    at: TypedRepository
    digest: Digest

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the digest and where it is; raise `UnusableReferenceError`."""
        before, at, digest = text.partition("@")
        if not at:
            raise UnusableReferenceError(
                "expected HOST/REPOSITORY@DIGEST; `facade resolve` gives a tag's digest"
            )
        try:
            return cls(TypedRepository.parse(before), Digest.parse(digest))
        except InvalidDigestError as error:
            raise UnusableReferenceError(str(error)) from None


def parse_check_target(text: str) -> RegistryHost | TypedDigest:
    """Return what `HOST[/REPOSITORY@DIGEST]` names; raise `UnusableReferenceError`."""
    try:
        return _host(text)  # with slashes, too, if it is a pasted URL
    except UnusableReferenceError:
        if "/" not in text:
            raise
    return TypedDigest.parse(text)


def _host(text: str) -> RegistryHost:
    try:
        return registry_host_from_reference(text)
    except UnusableHostError as error:
        raise UnusableReferenceError(str(error)) from None
