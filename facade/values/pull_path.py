"""The raw request path and method become one validated value, or a refusal.

Only the request decides, before anything is looked up, so a refusal does not reveal what is
connected. aiohttp's `match_info` is percent-decoded (`blobs/x%2fblobs%2fy` would give the digest
`x/blobs/y`), so only the raw target is read, and `%` is never valid in it.
"""

import re
from enum import Enum
from typing import Final

from attrs import frozen

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

API_ROOT: Final = "/v2/"
READ_METHODS: Final = frozenset({"GET", "HEAD"})
# root, host and port, repository, route and a sha512 digest, each at its longest
MAX_PATH_CHARACTERS: Final = 4 + 259 + 1 + 255 + 11 + 135

# RFC 9112 section 3.2.2: a server accepts the absolute form. Its authority changes nothing.
_ABSOLUTE_FORM: Final = re.compile(r"https?://[^/?#]*", re.ASCII | re.IGNORECASE)
_UNRESERVED: Final = re.compile(r"[A-Za-z0-9._:/-]*", re.ASCII)
# `registry.local:5000`, also escaped, and port 443, which is to be left out.
_PORT_OF_ANOTHER_FORM: Final = re.compile(
    r"[A-Za-z0-9.-]+(?:(?::|%3a)[0-9]{1,5}|_0*443)", re.ASCII | re.IGNORECASE
)
_KINDS: Final = {kind.value: kind for kind in Kind}
_SHORTEST_PULL: Final = 3  # host, kind and reference: the route of a pull that names no repository


class Refusal(Enum):
    """Why a request is refused without looking anything up."""

    METHOD = "method"
    ROUTE = "route"
    NAME = "name"
    PORT = "port"  # of a name too: people write the registry's port with a colon
    DIGEST = "digest"
    TAG = "tag"


@frozen
class ApiVersionCheck:
    """`GET /v2/`."""


@frozen(cache_hash=True)
class Pull:
    """A manifest or blob of a repository on a host, by digest."""

    host: RegistryHost
    repository: RepositoryName
    kind: Kind
    digest: Digest


@reads_bytes_of(Party.DEVICE)
def parse_request(method: str, raw_target: str) -> ApiVersionCheck | Pull | Refusal:
    """Return what a request asks for. The query and the authority are ignored."""
    if method not in READ_METHODS:
        return Refusal.METHOD
    path = path_of(raw_target)
    if path == API_ROOT:
        return ApiVersionCheck()
    if not path.startswith(API_ROOT):
        return Refusal.ROUTE
    return _parse_pull(path)


def path_of(raw_target: str) -> str:
    """Return the raw path of a target, without the query and an absolute form's authority."""
    path = _ABSOLUTE_FORM.sub("", raw_target, count=1) if raw_target[:1] != "/" else raw_target
    return path.partition("?")[0]


def _parse_pull(path: str) -> Pull | Refusal:
    if len(path) > MAX_PATH_CHARACTERS or not _UNRESERVED.fullmatch(path) or "//" in path:
        return _name_refusal(path)
    parts = path.removeprefix(API_ROOT).split("/")
    if len(parts) < _SHORTEST_PULL or parts[-2] not in _KINDS:
        return Refusal.ROUTE
    kind, reference = _KINDS[parts[-2]], parts[-1]
    try:
        host = RegistryHost.parse_path_form(parts[0])
        repository = RepositoryName.parse("/".join(parts[1:-2]))
        return Pull(host, repository, kind, Digest.parse(reference))
    except (InvalidRegistryHostError, InvalidRepositoryNameError):
        return _name_refusal(path)
    except InvalidDigestError:
        is_tag = kind is Kind.MANIFEST and TAG.fullmatch(reference)
        return Refusal.TAG if is_tag else Refusal.DIGEST


def _name_refusal(path: str) -> Refusal:
    host = path[len(API_ROOT) : MAX_PATH_CHARACTERS].partition("/")[0]
    return Refusal.PORT if _PORT_OF_ANOTHER_FORM.fullmatch(host) else Refusal.NAME
