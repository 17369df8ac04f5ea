"""What a request that is no pull names, as far as it can be read: for the log line of its refusal.

An operator has to see which device asks for which tag. Each part is read by its own grammar, so the
log shows only names that could exist, bounded and printable. What the grammar cannot read is left
out: escapes, a session's id, a query (which may hold a token) and the authority of an absolute
target (which may hold a password).
"""

import re
from typing import Final

from attrs import frozen

from facade.values.pull_path import API_ROOT, path_of
from shared.oci import (
    TAG,
    Digest,
    InvalidDigestError,
    InvalidRepositoryNameError,
    Kind,
    RepositoryName,
)
from shared.outside_bytes import Party, reads_bytes_of
from shared.registry_host import InvalidRegistryHostError, RegistryHost
from shared.upstream.hosts import upstream_repository

# `sha512:` and 128 hex digits: the longest reference that a client has a reason to send.
MAX_REFERENCE_CHARACTERS: Final = 135
# OCI image specification 1.1, "Digests": of any algorithm, because refused ones are shown too.
_ANY_DIGEST: Final = re.compile(r"[a-z0-9]+(?:[+._-][a-z0-9]+)*:[a-zA-Z0-9=_-]+", re.ASCII)


@frozen
class Named:
    """The parts of a refused request. A part is None if it is missing or cannot be read."""

    host: RegistryHost | None = None
    repository: RepositoryName | None = None  # its full upstream name
    kind: Kind | None = None
    reference: str | None = None  # a tag, or a digest of any algorithm

    @property
    def digest(self) -> Digest | None:
        """The reference, if it is a digest that could be served."""
        try:
            return Digest.parse(self.reference or "")
        except InvalidDigestError:
            return None


@reads_bytes_of(Party.DEVICE)
def read_names(raw_target: str) -> Named:
    """Return what a target names; never raises.

    A target may be as long as a request line. Each grammar passes over it once.
    """
    path = path_of(raw_target)
    parts = path.removeprefix(API_ROOT).split("/") if path.startswith(API_ROOT) else []
    match parts:
        case [host, *name, "blobs", "uploads"] | [host, *name, "blobs", "uploads", _]:
            named = _named(host, name)
        case [host, *name, "tags", "list"]:
            named = _named(host, name)
        case [host, *name, "manifests" | "blobs" as kind, reference]:
            named = _named(host, name, Kind(kind), reference)
        case [host, *name, "referrers", reference]:
            named = _named(host, name, None, reference)
        case [host, _, *_]:
            named = _named(host, [])
        case _:
            named = Named()
    return named


def _named(
    host_text: str, components: list[str], kind: Kind | None = None, reference: str = ""
) -> Named:
    host = _host(host_text)
    repository = _repository("/".join(components))
    if host is not None and repository is not None:
        repository = upstream_repository(host, repository)
    return Named(host, repository, kind, reference if _is_reference(reference) else None)


def _host(text: str) -> RegistryHost | None:
    try:
        return RegistryHost.parse_path_form(text)
    except InvalidRegistryHostError:
        return None


def _repository(text: str) -> RepositoryName | None:
    try:
        return RepositoryName.parse(text)
    except InvalidRepositoryNameError:
        return None


def _is_reference(text: str) -> bool:
    if len(text) > MAX_REFERENCE_CHARACTERS:
        return False
    return bool(TAG.fullmatch(text) or _ANY_DIGEST.fullmatch(text))
