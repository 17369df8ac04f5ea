"""The nouns of the OCI specifications, as values: parsed once at the edge, trusted behind it.

Every grammar is anchored and matched against the whole text. Nothing here does I/O.
"""

import hashlib
import re
from enum import StrEnum
from typing import Final, Protocol, Self

from attrs import frozen

from shared.outside_bytes import Party, reads_bytes_of
from shared.safe_message import SafeMessage

MAX_REPOSITORY_NAME_CHARACTERS: Final = 255  # distribution's RepositoryNameTotalLengthMax

# OCI distribution specification 1.1, "Pulling manifests".
_NAME_COMPONENT: Final = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY_NAME: Final = re.compile(rf"{_NAME_COMPONENT}(?:/{_NAME_COMPONENT})*", re.ASCII)
TAG: Final = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}", re.ASCII)
ALGORITHMS: Final = ("sha256", "sha512")  # OCI image specification: those that are registered
_DIGEST: Final = re.compile(r"(sha256):([a-f0-9]{64})|(sha512):([a-f0-9]{128})", re.ASCII)


class InvalidDigestError(SafeMessage, ValueError):
    """The text is not a digest of a registered algorithm in its canonical form."""


class InvalidRepositoryNameError(SafeMessage, ValueError):
    """The text is not a repository name of the distribution specification."""


class Kind(StrEnum):
    """What a digest names: the two readable routes of the distribution specification."""

    MANIFEST = "manifests"
    BLOB = "blobs"


class Listing(StrEnum):
    """What can be asked about a digest: the routes whose answers no digest proves."""

    REFERRERS = "referrers"


ReadRoute = Kind | Listing


class Hasher(Protocol):
    """The part of a `hashlib` object that verification needs."""

    def update(self, data: bytes | bytearray | memoryview, /) -> None:
        """Take in more bytes."""

    def hexdigest(self) -> str:
        """Return the lower-case hexadecimal digest of what was taken in."""

    def copy(self) -> "Hasher":
        """Return an independent hash that has taken in the same bytes."""


@frozen(cache_hash=True)
class Digest:
    """`sha256:<64 hex>` or `sha512:<128 hex>`, lower case (OCI image specification)."""

    algorithm: str
    hex: str

    @classmethod
    @reads_bytes_of(Party.DEVICE, Party.OPERATOR)
    def parse(cls, text: str) -> Self:
        """Return the digest; raise `InvalidDigestError` for anything else."""
        match = _DIGEST.fullmatch(text)
        if match is None:
            raise InvalidDigestError(
                "a digest is sha256:<64 hex digits> or sha512:<128 hex digits>, lower case"
            )
        return cls(match[1] or match[3], match[2] or match[4])

    @classmethod
    def of(cls, content: bytes) -> Self:
        """Return the SHA-256 digest of the content."""
        return cls("sha256", hashlib.sha256(content).hexdigest())

    def hasher(self) -> Hasher:
        """Return a new, empty hash of this digest's algorithm."""
        return hashlib.new(self.algorithm)

    def names(self, hasher: Hasher) -> bool:
        """Tell whether what the hasher took in is what this digest names."""
        return hasher.hexdigest() == self.hex

    @property
    def is_of_nothing(self) -> bool:
        """Tell whether it is the digest of no bytes."""
        return self.names(self.hasher())

    def __str__(self) -> str:
        """Return the canonical text."""
        return f"{self.algorithm}:{self.hex}"


@frozen(cache_hash=True)
class RepositoryName:
    """A repository's full name within its registry, such as `team/gateway/app`."""

    value: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the name; raise `InvalidRepositoryNameError` for anything else."""
        if len(text) > MAX_REPOSITORY_NAME_CHARACTERS or not _REPOSITORY_NAME.fullmatch(text):
            raise InvalidRepositoryNameError(
                "a repository name is lower-case components of letters, digits and single "
                f"separators, joined by '/', at most {MAX_REPOSITORY_NAME_CHARACTERS} characters"
            )
        return cls(text)

    @property
    def components(self) -> tuple[str, ...]:
        """The parts between the slashes."""
        return tuple(self.value.split("/"))

    def is_within(self, prefix: "RepositoryName") -> bool:
        """Tell whether this name is the prefix or lies below it, by whole components."""
        return self.value == prefix.value or self.value.startswith(f"{prefix.value}/")

    def __str__(self) -> str:
        """Return the name itself."""
        return self.value


OCI_INDEX: Final = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
DOCKER_MANIFEST_LIST: Final = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST: Final = "application/vnd.docker.distribution.manifest.v2+json"
OCI_ARTIFACT_MANIFEST: Final = "application/vnd.oci.artifact.manifest.v1+json"
OCTET_STREAM: Final = "application/octet-stream"

# distribution answers 404 without an exact match, `*/*` included, so every one is named.
MANIFEST_MEDIA_TYPES: Final = (
    OCI_INDEX,
    OCI_MANIFEST,
    DOCKER_MANIFEST_LIST,
    DOCKER_MANIFEST,
    OCI_ARTIFACT_MANIFEST,
)
INDEX_MEDIA_TYPES: Final = frozenset({OCI_INDEX, DOCKER_MANIFEST_LIST})

MAX_MANIFEST_BYTES: Final = 4 * 1024 * 1024  # OCI distribution specification 1.1, pushing manifests
